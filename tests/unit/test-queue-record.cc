/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the records of queues: what is written is read, what is damaged is refused, what is sealed stays shut. */
#include "config.h"

#include "queue/queue-private.h"
#include "queue/queue-record.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

const char KEY_A[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const char KEY_B[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e20";

ZmSpan
span (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

std::string
text (ZmSpan span)
{
  return std::string (span.data != nullptr ? span.data : "", span.size);
}

struct Parts {
  const char *name;
  std::string key, id, client, topic, headers, body;
};

const std::vector<Parts> &
parts ()
{
  static const std::vector<Parts> all = {
    { "nothing", "", "", "", "", "", "" },
    { "body", "", "", "", "", "", "[Link Down]" },
    { "binary", "", "", "", "", "", std::string ("\0\xff\n\0", 4) },
    { "everything", "link-1", "abc:1", std::string (16, '\7'), "f?Link?Down?1", "{\"a\":1}", "body" },
    { "large", std::string (1024, 'k'), std::string (64, 'i'), "", "", std::string (65536, ' '),
      std::string (1 << 20, 'b') },
  };
  return all;
}

ZmPut
put_of (const Parts &p)
{
  ZmPut put = {};

  put.body = span (p.body);
  put.headers = span (p.headers);
  put.topic = span (p.topic);
  put.key = span (p.key);
  put.id = span (p.id);
  put.client = span (p.client);
  put.ttl_s = put.delay_s = -1;
  return put;
}

ZmCipher *
cipher_of (const char *hex)
{
  g_autoptr (GError) error = nullptr;
  ZmCipher *cipher = zm_cipher_new (hex, &error);

  EXPECT_EQ (cipher == nullptr, error != nullptr);
  return cipher;
}

bool
has_module ()
{
  g_autoptr (GError) error = nullptr;
  ZmCipher *cipher = zm_cipher_new (KEY_A, &error);

  zm_cipher_unref (cipher);
  return cipher != nullptr;
}

/* A sealed record of number 7, message 42. */
ZmRecord *
sealed (const Parts &p, const ZmCipher *cipher)
{
  ZmPut put = put_of (p);
  ZmRecord *record = zm_record_new (&put);
  g_autoptr (GError) error = nullptr;

  EXPECT_TRUE (zm_record_seal (record, cipher, 7, 42, 1000, 60, 2000000, &error)) << error->message;
  return record;
}

void
expect_same (const ZmStored &stored, const Parts &p)
{
  EXPECT_EQ (text (stored.body), p.body);
  EXPECT_EQ (text (stored.headers), p.headers);
  EXPECT_EQ (text (stored.topic), p.topic);
  EXPECT_EQ (text (stored.key), p.key);
  EXPECT_EQ (text (stored.sender_id), p.id);
  EXPECT_EQ (text (stored.client), p.client);
  EXPECT_EQ (stored.seq, 42u);
  EXPECT_EQ (stored.created_us, 1000);
  EXPECT_EQ (stored.due_us, 2000000);
  EXPECT_EQ (stored.ttl_s, 60);
}

class QueueRecord : public ::testing::TestWithParam<const char *> {};

INSTANTIATE_TEST_SUITE_P (PlainAndSealed, QueueRecord, ::testing::Values ("", KEY_A));

TEST_P (QueueRecord, ComesBackAsItWas)
{
  if (*GetParam () != '\0' && !has_module ())
    GTEST_SKIP () << "built without encryption";
  ZmCipher *cipher = *GetParam () != '\0' ? cipher_of (GetParam ()) : nullptr;

  for (const Parts &p : parts ()) {
    SCOPED_TRACE (p.name);
    ZmRecord *record = sealed (p, cipher);
    g_autoptr (GByteArray) plain = g_byte_array_new ();
    g_autoptr (GError) error = nullptr;
    ZmStored stored;

    ASSERT_TRUE (zm_record_unpack (record, cipher, plain, &stored, &error)) << error->message;
    expect_same (stored, p);
    EXPECT_EQ (record->expires_us, 1000 + 60 * G_USEC_PER_SEC);
    EXPECT_EQ ((record->tag & ZM_TAG_ID) != 0, !p.id.empty ());
    EXPECT_EQ ((record->tag & ZM_TAG_KEY) != 0, !p.key.empty ());
    EXPECT_EQ (ZM_TAG_DUE (record->tag), zm_time_of (2000000));
    zm_record_unref (record);
  }
  zm_cipher_unref (cipher);
}

/* Every shorter one, and one that is longer, is no record. */
TEST (QueueRecordDamage, EveryCutIsRefused)
{
  ZmRecord *record = sealed (parts ()[3], nullptr);
  std::string bytes (reinterpret_cast<const char *> (record->data), record->size);

  zm_record_unref (record);
  for (gsize size = 0; size <= bytes.size () + 1; size++) {
    std::string cut = size <= bytes.size () ? bytes.substr (0, size) : bytes + "x";
    std::vector<char> exact (cut.begin (), cut.end ());
    g_autoptr (GError) error = nullptr;
    ZmQueueRecord read;

    EXPECT_EQ (
        zm_queue_record_read (zm_span (exact.data (), exact.size ()), nullptr, 7, 42, nullptr, &read, &error),
        size == bytes.size ())
        << size;
    EXPECT_EQ (error == nullptr, size == bytes.size ());
  }
}

TEST (QueueRecordDamage, OtherFormsAreNamed)
{
  struct {
    gsize at;
    char value;
    const char *said;
  } const cases[] = { { 0, 2, "form" }, { 1, 2, "flag" }, { 9, '\x80', "below zero" }, { 43, 3, "lengths" } };

  for (const auto &c : cases) {
    ZmRecord *record = sealed (parts ()[1], nullptr);
    g_autoptr (GError) error = nullptr;
    ZmStored stored;

    record->data[c.at] = static_cast<guint8> (c.value);
    EXPECT_FALSE (zm_record_unpack (record, nullptr, nullptr, &stored, &error));
    ASSERT_NE (error, nullptr);
    EXPECT_NE (strstr (error->message, c.said), nullptr) << error->message;
    EXPECT_NE (strstr (error->message, "message 42 of queue number 7"), nullptr) << error->message;
    zm_record_unref (record);
  }
}

class Sealed : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    if (!has_module ())
      GTEST_SKIP () << "built without encryption";
    a = cipher_of (KEY_A);
    b = cipher_of (KEY_B);
    record = sealed (parts ()[3], a);
  }
  void
  TearDown () override
  {
    zm_record_unref (record);
    zm_cipher_unref (a);
    zm_cipher_unref (b);
  }
  /* Empty: it can be read. */
  std::string
  why (const ZmCipher *cipher)
  {
    g_autoptr (GByteArray) plain = g_byte_array_new ();
    g_autoptr (GError) error = nullptr;
    ZmStored stored;

    return zm_record_unpack (record, cipher, plain, &stored, &error) ? "" : error->message;
  }
  ZmCipher *a = nullptr, *b = nullptr;
  ZmRecord *record = nullptr;
};

TEST_F (Sealed, NothingOfItStandsInTheClear)
{
  std::string bytes (reinterpret_cast<const char *> (record->data), record->size);

  for (const char *part : { "link-1", "abc:1", "Link?Down", "\"a\"", "body" })
    EXPECT_EQ (bytes.find (part), std::string::npos) << part;
  EXPECT_TRUE (zm_queue_record_sealed (span (bytes)));
}

TEST_F (Sealed, OpensWithItsKeyAtItsPlaceOnly)
{
  EXPECT_EQ (why (a), "");
  EXPECT_NE (why (b).find ("another key"), std::string::npos) << why (b);
  EXPECT_NE (why (nullptr).find ("has no key"), std::string::npos) << why (nullptr);
  record->seq = 43;
  EXPECT_NE (why (a), "");
  record->seq = 42;
  record->queue = 8;
  EXPECT_NE (why (a), "");
}

TEST_F (Sealed, EveryBitCounts)
{
  for (gsize i = 0; i < record->size * 8; i++) {
    record->data[i / 8] ^= static_cast<guint8> (1u << i % 8);
    EXPECT_NE (why (a), "") << "bit " << i;
    record->data[i / 8] ^= static_cast<guint8> (1u << i % 8);
  }
  EXPECT_EQ (why (a), "");
}

TEST_F (Sealed, TwoOfTheSameLookDifferent)
{
  ZmRecord *other = sealed (parts ()[3], a);

  ASSERT_EQ (other->size, record->size);
  EXPECT_NE (memcmp (other->data, record->data, record->size), 0);
  zm_record_unref (other);
}

TEST (Cipher, KeysAreChecked)
{
  struct {
    const char *key, *said;
  } const cases[] = { { "", "has 0 characters" },
                      { "00", "has 2 characters" },
                      { "zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "hexadecimal" } };

  for (const auto &c : cases) {
    g_autoptr (GError) error = nullptr;

    EXPECT_EQ (zm_cipher_new (c.key, &error), nullptr);
    ASSERT_NE (error, nullptr);
    EXPECT_NE (strstr (error->message, c.said), nullptr) << error->message;
    EXPECT_EQ (*c.key == '\0' ? nullptr : strstr (error->message, "0102030405"), nullptr);
  }
  if (!has_module ())
    return;
  std::string padded = std::string ("  ") + KEY_A + "\n";
  ZmCipher *cipher = cipher_of (padded.c_str ());

  EXPECT_NE (cipher, nullptr);
  zm_cipher_unref (cipher);
}

} // namespace
