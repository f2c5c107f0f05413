/* Tests @NAME@ without a daemon. */
#include "@NAME@.c"

static int faults;

static void
expect (int condition, const char *what)
{
  if (condition)
    return;
  fprintf (stderr, "not so: %s\n", what);
  faults++;
}

static zm_store_op
op_of (uint32_t kind, uint32_t unit, const char *text)
{
  zm_store_op op;

  memset (&op, 0, sizeof op);
  op.kind = kind;
  op.unit = unit;
  op.queue = 1;
  op.space.data = "test";
  op.space.size = 4;
  op.key.data = "key";
  op.key.size = 3;
  op.data.data = text;
  op.data.size = text != NULL ? strlen (text) : 0;
  return op;
}

static int
write_all (void *store, zm_store_op *all, size_t n)
{
  char error[100];
  zm_store_batch batch;

  memset (&batch, 0, sizeof batch);
  batch.struct_size = sizeof batch;
  batch.ops = all;
  batch.n = n;
  batch.error = error;
  batch.error_size = sizeof error;
  return ops.write (store, &batch);
}

static int
count (void *user, const zm_store_record *record)
{
  *(uint64_t *) user = *(uint64_t *) user * 10 + record->seq;
  return 0;
}

static uint64_t
numbers (void *store)
{
  zm_store_range range;
  uint64_t all = 0;

  memset (&range, 0, sizeof range);
  range.struct_size = sizeof range;
  range.queue = 1;
  ops.read (store, &range, count, &all);
  return all;
}

int
main (void)
{
  char error[100];
  void *store;
  uint64_t last;
  zm_store_op all[4];

  if (ops.open (NULL, NULL, NULL, &store, error, sizeof error) != ZM_OK)
    return 1;
  all[0] = op_of (ZM_STORE_APPEND, 1, "a");
  all[1] = op_of (ZM_STORE_PUT, 1, "value");
  all[2] = op_of (ZM_STORE_EXPECT, 2, "another");
  all[3] = op_of (ZM_STORE_APPEND, 2, "b");
  expect (write_all (store, all, 4) == ZM_OK && all[0].seq == 1, "a batch is written");
  expect (all[2].status == ZM_E_DENIED && all[3].status == ZM_E_AGAIN, "a unit depends on its condition");
  all[0] = op_of (ZM_STORE_APPEND, 1, "c");
  all[1] = op_of (ZM_STORE_APPEND, 1, "d");
  expect (write_all (store, all, 2) == ZM_OK && numbers (store) == 123, "records are in order");
  all[0] = op_of (ZM_STORE_REMOVE, 1, NULL);
  all[0].seq = all[0].upto = 3;
  all[1] = op_of (ZM_STORE_APPEND, 1, "e");
  all[1].seq = 2;
  expect (write_all (store, all, 2) == ZM_E_INVALID && numbers (store) == 123, "all of a batch, or nothing");
  expect (write_all (store, all, 1) == ZM_OK && numbers (store) == 12, "a record is removed");
  expect (ops.last (store, 1, &last) == ZM_OK && last == 3, "its number stays used");
  ops.close (store);
  return faults;
}
