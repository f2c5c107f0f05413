/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sqlite store on a disk that fails: between SQLite and its files stands a layer of the test's own, which refuses syncs,
 * has only so much room, or fails as a broken disk does.
 */
#include "store-plugin-fixture.hh"

#include <atomic>
#include <cstring>
#include <sqlite3.h>
#include <sys/stat.h>

namespace {

/* What the disk does; one for the process, as SQLite's layers are. */
struct Disk {
  std::atomic<bool> no_sync{ false }, no_write{ false };
  std::atomic<int64_t> room{ INT64_MAX }; /* bytes that all files together may grow by */
  std::atomic<int64_t> reserve{ 0 };      /* bytes that come free when the reserve goes */
  std::string reserve_path;
};
Disk disk;

/* SQLite's own file stands behind ours. */
struct File {
  sqlite3_file base;
  sqlite3_file *
  real ()
  {
    return reinterpret_cast<sqlite3_file *> (this + 1);
  }
};

sqlite3_file *
real (sqlite3_file *file)
{
  return reinterpret_cast<File *> (file)->real ();
}

/* The reserve was given up: its bytes are there. */
void
look_for_reserve ()
{
  int64_t bytes = disk.reserve;
  if (bytes > 0 && access (disk.reserve_path.c_str (), F_OK) != 0) {
    disk.reserve = 0;
    disk.room += bytes;
  }
}

int
write_file (sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
  sqlite3_int64 now = 0;
  if (disk.no_write)
    return SQLITE_IOERR_WRITE;
  real (file)->pMethods->xFileSize (real (file), &now);
  int64_t more = offset + size > now ? offset + size - now : 0;
  look_for_reserve ();
  if (more > disk.room)
    return SQLITE_FULL;
  if (disk.room != INT64_MAX)
    disk.room -= more;
  return real (file)->pMethods->xWrite (real (file), data, size, offset);
}

int
truncate_file (sqlite3_file *file, sqlite3_int64 size)
{
  sqlite3_int64 now = 0;
  real (file)->pMethods->xFileSize (real (file), &now);
  if (disk.room != INT64_MAX && now > size)
    disk.room += now - size;
  return real (file)->pMethods->xTruncate (real (file), size);
}

int
sync_file (sqlite3_file *file, int flags)
{
  return disk.no_sync ? SQLITE_IOERR_FSYNC : real (file)->pMethods->xSync (real (file), flags);
}

const sqlite3_io_methods methods = {
  2,
  [] (sqlite3_file *f) { return real (f)->pMethods->xClose (real (f)); },
  [] (sqlite3_file *f, void *to, int n, sqlite3_int64 at) {
    return real (f)->pMethods->xRead (real (f), to, n, at);
  },
  write_file,
  truncate_file,
  sync_file,
  [] (sqlite3_file *f, sqlite3_int64 *size) { return real (f)->pMethods->xFileSize (real (f), size); },
  [] (sqlite3_file *f, int how) { return real (f)->pMethods->xLock (real (f), how); },
  [] (sqlite3_file *f, int how) { return real (f)->pMethods->xUnlock (real (f), how); },
  [] (sqlite3_file *f, int *held) { return real (f)->pMethods->xCheckReservedLock (real (f), held); },
  [] (sqlite3_file *f, int op, void *arg) {
    /* Room that is asked for ahead would pass the count by. */
    return op == SQLITE_FCNTL_SIZE_HINT ? SQLITE_OK : real (f)->pMethods->xFileControl (real (f), op, arg);
  },
  [] (sqlite3_file *f) { return real (f)->pMethods->xSectorSize (real (f)); },
  [] (sqlite3_file *f) { return real (f)->pMethods->xDeviceCharacteristics (real (f)); },
  [] (sqlite3_file *f, int page, int size, int extend, void volatile **at) {
    return real (f)->pMethods->xShmMap (real (f), page, size, extend, at);
  },
  [] (sqlite3_file *f, int offset, int n, int flags) {
    return real (f)->pMethods->xShmLock (real (f), offset, n, flags);
  },
  [] (sqlite3_file *f) { real (f)->pMethods->xShmBarrier (real (f)); },
  [] (sqlite3_file *f, int gone) { return real (f)->pMethods->xShmUnmap (real (f), gone); },
  nullptr,
  nullptr,
};

sqlite3_vfs *below;

int
open_file (sqlite3_vfs *, const char *name, sqlite3_file *file, int flags, int *out)
{
  int rc = below->xOpen (below, name, real (file), flags, out);
  file->pMethods = real (file)->pMethods != nullptr ? &methods : nullptr;
  return rc;
}

/* Becomes SQLite's standard way to files for as long as it lives. */
class Layer {
public:
  Layer ()
  {
    below = sqlite3_vfs_find (nullptr);
    vfs = *below;
    vfs.zName = "failing";
    vfs.szOsFile = static_cast<int> (sizeof (File)) + below->szOsFile;
    vfs.pNext = nullptr;
    vfs.xOpen = open_file;
    /* SQLite's own functions take their data from the layer that they are given. */
    sqlite3_vfs_register (&vfs, 1);
  }
  ~Layer ()
  {
    disk.no_sync = disk.no_write = false;
    disk.room = INT64_MAX;
    disk.reserve = 0;
    sqlite3_vfs_unregister (&vfs);
    sqlite3_vfs_register (below, 1);
  }

private:
  sqlite3_vfs vfs;
};

class Failing : public ::testing::Test {
protected:
  Failing () : store ("sqlite"), path (folder.path + "/store.db")
  {
  }

  void
  SetUp () override
  {
    ASSERT_EQ (store.open (path), ZM_OK) << store.error;
    disk.reserve_path = path + ".reserve";
  }

  void
  TearDown () override
  {
    disk.no_sync = disk.no_write = false;
    store.close ();
  }

  /* Another one: another file. */
  ino_t
  number () const
  {
    struct stat info = {};
    EXPECT_EQ (stat (path.c_str (), &info), 0);
    return info.st_ino;
  }

  Layer layer;
  Folder folder;
  Store store;
  Text path;
};

TEST_F (Failing, AfterAFailedSyncNothingIsTakenUntilItIsRecovered)
{
  Batch lost, next;
  ASSERT_EQ (store.write (Batch ().append (1, "confirmed").put ("s", "k", "v")), ZM_OK);
  disk.no_sync = true;
  EXPECT_EQ (store.write (lost.append (1, "lost")), ZM_E_FAILED);
  EXPECT_NE (lost.error, "");
  EXPECT_EQ (lost.ops[0].seq, 0u);
  disk.no_sync = false;
  EXPECT_EQ (store.write (next.append (1, "next")), ZM_E_FAILED) << "not into the old file";
  EXPECT_NE (next.error.find ("not recovered"), Text::npos) << next.error;
  EXPECT_EQ (store.read (1)[0].data, "confirmed") << "reading goes on";

  ino_t before = number ();
  ASSERT_EQ (store.recover (), ZM_OK) << store.error;
  EXPECT_NE (number (), before) << "a new file";
  EXPECT_EQ (store.read (1), (Records{ { 1, 1, "confirmed" } }));
  EXPECT_EQ (store.documents ("s"), (Documents{ { "k", "v" } }));
  ASSERT_EQ (store.write (Batch ().append (1, "after")), ZM_OK);
  store.close ();
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  EXPECT_EQ (store.read (1), (Records{ { 1, 1, "confirmed" }, { 1, 2, "after" } }));
}

TEST_F (Failing, WhereRecoveryFailsItStaysFailedAndSaysWhy)
{
  ASSERT_EQ (store.write (Batch ().append (1, "confirmed")), ZM_OK);
  disk.no_sync = true;
  EXPECT_EQ (store.write (Batch ().append (1, "lost")), ZM_E_FAILED);
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ (store.recover (), ZM_E_FAILED);
    EXPECT_NE (store.error.find ("could not be copied"), Text::npos) << store.error;
    EXPECT_FALSE (std::filesystem::exists (path + ".new"));
    EXPECT_EQ (store.write (Batch ().append (1, "no")), ZM_E_FAILED);
  }
  disk.no_sync = false;
  ASSERT_EQ (store.recover (), ZM_OK) << store.error;
  EXPECT_EQ (store.read (1), (Records{ { 1, 1, "confirmed" } }));
}

TEST_F (Failing, ABrokenDiskIsAFailureToo)
{
  ASSERT_EQ (store.write (Batch ().append (1, "confirmed")), ZM_OK);
  disk.no_write = true;
  EXPECT_EQ (store.write (Batch ().append (1, "lost")), ZM_E_FAILED);
  EXPECT_EQ (store.recover (), ZM_E_FAILED);
  disk.no_write = false;
  ASSERT_EQ (store.recover (), ZM_OK) << store.error;
  EXPECT_EQ (store.read (1), (Records{ { 1, 1, "confirmed" } }));
}

/* The room is used up to the last page; removing works all the same, and makes room to go on. */
TEST_F (Failing, AFullDiskTakesNothingButRemoves)
{
  uint64_t n = 0;
  int status = ZM_OK;
  ASSERT_TRUE (std::filesystem::exists (path + ".reserve"));
  disk.reserve = 4 << 20;
  disk.room = 2 << 20;
  while (n < 100000 && status == ZM_OK) {
    Batch batch;
    for (int i = 0; i < 10; i++)
      batch.append (1, Text (1000, 'x'));
    status = store.write (batch);
    n += status == ZM_OK ? 10 : 0;
  }
  ASSERT_EQ (status, ZM_E_MEMORY);
  EXPECT_TRUE (std::filesystem::exists (path + ".reserve")) << "not for what adds";
  ASSERT_EQ (store.read (1).size (), n) << "nothing of what was refused";
  disk.room = 0;
  Batch batch;
  EXPECT_EQ (store.write (batch.append (1, Text (1 << 20, 'x'))), ZM_E_MEMORY);
  Batch remove;
  ASSERT_EQ (store.write (remove.remove (1, 1, n / 2)), ZM_OK) << remove.error;
  EXPECT_EQ (store.read (1).size (), n - n / 2);
  Batch again;
  EXPECT_EQ (store.write (again.append (1, Text (1000, 'y'))), ZM_OK)
      << "into what became free: " << again.error;
  EXPECT_EQ (again.ops[0].seq, n + 1);
  disk.room = INT64_MAX;
  for (int i = 0; i < 300; i++)
    ASSERT_EQ (store.write (Batch ().append (2, "x")), ZM_OK);
  EXPECT_TRUE (std::filesystem::exists (path + ".reserve")) << "made again where there is room";
  Report report;
  EXPECT_EQ (store.check (false, report), ZM_OK);
}

/* The log does not grow without end, although somebody reads all the time. */
TEST_F (Failing, TheLogIsCarriedOver)
{
  for (int i = 0; i < 400; i++) {
    Batch batch;
    for (int j = 0; j < 100; j++)
      batch.append (1, Text (1000, 'x'));
    if (i > 0)
      batch.remove (1, static_cast<uint64_t> (i - 1) * 100 + 1, static_cast<uint64_t> (i) * 100);
    ASSERT_EQ (store.write (batch), ZM_OK);
    store.read (1, 0, 0, 10);
  }
  EXPECT_LT (std::filesystem::file_size (path + "-wal"), 40u << 20);
  EXPECT_LT (std::filesystem::file_size (path), 8u << 20) << "removed records' room is used again";
}

} // namespace
