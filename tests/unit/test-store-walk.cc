/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A random walk beside a model of a few lines, with restarts where the store keeps what it was given. 10^5 changes; 10^6 with
 * ZM_TEST_LONG=1. What a walk found wrong is repeated by its seed.
 */
#include "store-plugin-fixture.hh"

#include <random>

namespace {

struct Model {
  std::map<std::pair<uint64_t, uint64_t>, Text> records;
  std::map<uint64_t, uint64_t> last;
  std::map<std::pair<Text, Text>, Text> documents;
};

class Walk {
public:
  Walk (Store &to, const Text &where, unsigned seed) : store (to), uri (where), random (seed)
  {
  }

  /* n changes, in batches of 1 to 40. */
  void
  go (int n)
  {
    int since = 0;
    while (n > 0 && !::testing::Test::HasFailure ()) {
      Batch batch;
      for (uint64_t left = 1 + number (40); left > 0 && n > 0; left--, n--)
        change (batch);
      ASSERT_EQ (store.write (batch), ZM_OK) << batch.error;
      check_numbers (batch);
      if (++since % 400 == 0)
        compare ();
      if (since % 900 == 0)
        restart ();
    }
    compare ();
  }

private:
  uint64_t
  number (uint64_t most)
  {
    return random () % most;
  }

  void
  change (Batch &batch)
  {
    uint64_t queue = 1 + number (5);
    Text key = "k" + std::to_string (number (300)), space = number (2) ? "a" : "b";
    Text data = std::to_string (random ()) + Text (number (60), 'd');

    batch.unit ();
    switch (number (10)) {
    case 0:
    case 1:
    case 2:
    case 3: append (batch, queue, data); break;
    case 4:
    case 5: remove (batch, queue); break;
    case 6:
    case 7:
      batch.put (space, key, data);
      model.documents[{ space, key }] = data;
      break;
    case 8:
      batch.erase (space, key);
      model.documents.erase ({ space, key });
      break;
    default: conditional (batch, queue, space, key, data);
    }
  }

  void
  append (Batch &batch, uint64_t queue, const Text &data)
  {
    uint64_t seq = model.last[queue] + 1 + (number (8) == 0 ? number (5) : 0);
    bool given = number (2) == 0 && seq == model.last[queue] + 1;

    batch.append (queue, data, given ? 0 : seq);
    if (given)
      numbers.emplace_back (batch.ops.size () - 1, seq);
    model.last[queue] = seq;
    model.records[{ queue, seq }] = data;
  }

  /* From the front, mostly; some in the midst, some at the end, some all. */
  void
  remove (Batch &batch, uint64_t queue)
  {
    auto first = model.records.lower_bound ({ queue, 0 });
    uint64_t from = first != model.records.end () && first->first.first == queue && number (3)
                        ? first->first.second
                        : number (model.last[queue] + 2);
    uint64_t upto = number (30) == 0 ? UINT64_MAX : from + number (4);

    batch.remove (queue, from, upto);
    model.records.erase (model.records.lower_bound ({ queue, from }),
                         model.records.upper_bound ({ queue, upto }));
  }

  void
  conditional (Batch &batch, uint64_t queue, const Text &space, const Text &key, const Text &data)
  {
    auto at = model.documents.find ({ space, key });
    bool there = at != model.documents.end (), right = number (2) == 0;

    if (right && there)
      batch.expect (space, key, at->second);
    else if (right || there)
      batch.expect_none (space, key);
    else
      batch.expect (space, key, "other");
    holds.emplace_back (batch.ops.size () - 1, right);
    if (right) {
      append (batch, queue, data);
      batch.put (space, key, data);
      model.documents[{ space, key }] = data;
    } else {
      batch.append (queue, data).erase (space, key);
    }
  }

  void
  check_numbers (const Batch &batch)
  {
    for (const auto &[place, seq] : numbers)
      ASSERT_EQ (batch.ops[place].seq, seq);
    for (const auto &[place, right] : holds)
      ASSERT_EQ (batch.ops[place].status, right ? ZM_OK : ZM_E_DENIED);
    numbers.clear ();
    holds.clear ();
  }

  void
  compare ()
  {
    Records all = store.read ();
    ASSERT_EQ (all.size (), model.records.size ());
    size_t i = 0;
    for (const auto &[key, data] : model.records) {
      ASSERT_EQ (all[i], (Record{ key.first, key.second, data }));
      i++;
    }
    for (const auto &[queue, seq] : model.last)
      ASSERT_EQ (store.last (queue), seq) << queue;
    for (const Text space : { "a", "b" })
      for (const auto &[key, data] : store.documents (space)) {
        auto at = model.documents.find ({ space, key });
        ASSERT_TRUE (at != model.documents.end () && at->second == data) << key;
      }
    ASSERT_EQ (store.documents ("a").size () + store.documents ("b").size (), model.documents.size ());
  }

  void
  restart ()
  {
    if ((store.ops->flags & ZM_STORE_DURABLE) == 0)
      return;
    if (number (3) == 0) {
      ASSERT_EQ (store.recover (), ZM_OK) << store.error;
      return;
    }
    store.close ();
    ASSERT_EQ (store.open (uri), ZM_OK) << store.error;
  }

  Store &store;
  Text uri;
  std::mt19937_64 random;
  Model model;
  std::vector<std::pair<size_t, uint64_t>> numbers;
  std::vector<std::pair<size_t, bool>> holds;
};

void
walk (const char *name)
{
  const unsigned seed = 20250101;
  Folder folder;
  Store store (name);
  Text uri = folder.path + "/store.db";
  SCOPED_TRACE ("seed " + std::to_string (seed));
  ASSERT_EQ (store.open (uri), ZM_OK) << store.error;
  Walk (store, uri, seed).go (std::getenv ("ZM_TEST_LONG") ? 1000000 : 100000);
}

TEST (RandomWalk, Memory)
{
  walk ("memory");
}

#ifdef HAVE_SQLITE
TEST (RandomWalk, Sqlite)
{
  walk ("sqlite");
}
#endif

} // namespace
