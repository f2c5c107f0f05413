/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zaqar's API, what of it needs neither a server nor queues: JSON cut, posts, claims, metadata and its changes, signatures. */
#include "config.h"

#include "http/zaqar-document.h"
#include "http/zaqar-sign.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

ZmSpan
span_of (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

std::string
string_of (ZmSpan span)
{
  return std::string (span.data != nullptr ? span.data : "", span.size);
}

/* Takes the text and frees it. */
std::string
taken (char *text)
{
  std::string out = text != nullptr ? text : "(null)";

  g_free (text);
  return out;
}

/* Takes the error: its text, or nothing where there is none. */
std::string
said (GError *error)
{
  std::string out = error != nullptr ? error->message : "";

  g_clear_error (&error);
  return out;
}

/* ---- cutting ---- */

struct Seen {
  std::string text;
  guint stop_after = G_MAXUINT;
  guint n = 0;
};

gboolean
on_cut (const ZmCut *cut, gpointer user)
{
  static const char *const kinds[] = { "null", "bool", "int", "num", "str", "obj", "arr" };
  Seen *seen = static_cast<Seen *> (user);

  seen->text +=
      std::to_string (cut->depth) + (cut->opens ? "+" : "") + string_of (cut->name) + ":" + kinds[cut->kind];
  if (!cut->opens)
    seen->text += "<" + string_of (cut->raw) + ">";
  if (cut->kind == ZM_CUT_INTEGER)
    seen->text += "=" + std::to_string (cut->integer);
  seen->text += " ";
  return ++seen->n < seen->stop_after;
}

std::string
cut (const std::string &text, guint depth)
{
  Seen seen;
  GError *error = nullptr;

  if (zm_json_cut (span_of (text), depth, on_cut, &seen, &error))
    return seen.text;
  return said (error);
}

TEST (JsonCut, TellsPartsWithTheirRawText)
{
  const struct {
    const char *text;
    guint depth;
    const char *expected;
  } cases[] = {
    { "{}", 1, "0+:obj 0:obj<{}> " },
    { " [ ] ", 1, "0+:arr 0:arr<[ ]> " },
    { "{\"a\":1}", 1, "0+:obj 1a:int<1>=1 0:obj<{\"a\":1}> " },
    { "{\"a\" : { \"b\": [1 , 2] } , \"c\" :-0.5e3}", 1,
      "0+:obj 1a:obj<{ \"b\": [1 , 2] }> 1c:num<-0.5e3> 0:obj<{\"a\" : { \"b\": [1 , 2] } , \"c\" "
      ":-0.5e3}> " },
    { "[null,true, false,\"x\\n\\u00e4\" ]", 1,
      "0+:arr 1:null<null> 1:bool<true> 1:bool<false> 1:str<\"x\\n\\u00e4\"> "
      "0:arr<[null,true, false,\"x\\n\\u00e4\" ]> " },
    { "{\"m\":[{\"body\":[[]]},7]}", 3,
      "0+:obj 1+m:arr 2+:obj 3body:arr<[[]]> 2:obj<{\"body\":[[]]}> 2:int<7>=7 1m:arr<[{\"body\":[[]]},7]> "
      "0:obj<{\"m\":[{\"body\":[[]]},7]}> " },
    { "{\"\\u0061b\":\"v\"}", 1, "0+:obj 1ab:str<\"v\"> 0:obj<{\"\\u0061b\":\"v\"}> " },
    { "[9223372036854775807,-9223372036854775808]", 1,
      "0+:arr 1:int<9223372036854775807>=9223372036854775807 "
      "1:int<-9223372036854775808>=-9223372036854775808 "
      "0:arr<[9223372036854775807,-9223372036854775808]> " },
  };

  for (const auto &c : cases)
    EXPECT_EQ (cut (c.text, c.depth), c.expected) << c.text;
}

TEST (JsonCut, RefusesWhatIsWrong)
{
  const char *const unparsed[] = { "",           " ",          "1",      "\"a\"",         "null", "{",
                                   "[1,]",       "{\"a\"}",    "[1]x",   "[\"\\ud800\"]", "[01]", "[nan]",
                                   "{\"a\":1}}", "[\"\x80\"]", "/**/[]", "[1.]" };
  const char *const large[] = { "[9223372036854775808]", "[-9223372036854775809]",
                                "{\"a\":{\"b\":[{\"c\":99999999999999999999}]}}",
                                "[123456789012345678901234567890]" };

  for (const char *text : unparsed)
    EXPECT_EQ (cut (text, 3), "Request body could not be parsed.") << text;
  for (const char *text : large)
    EXPECT_EQ (cut (text, 1), "JSON contains integer that is too large.") << text;
  EXPECT_EQ (cut (std::string (65, '[') + std::string (65, ']'), 1), "Request body could not be parsed.");
}

TEST (JsonCut, StopsWithoutAnError)
{
  Seen seen;
  GError *error = nullptr;

  seen.stop_after = 2;
  EXPECT_FALSE (zm_json_cut (ZM_SPAN_LITERAL ("[1,2,3]"), 1, on_cut, &seen, &error));
  EXPECT_EQ (error, nullptr);
  EXPECT_EQ (seen.n, 2u);
}

/* ---- posts ---- */

ZmZaqarLimits
limits_of ()
{
  ZmZaqarLimits limits = {};

  limits.message_ttl = 3600;
  limits.claim_ttl = 300;
  limits.claim_grace = 60;
  limits.message_ttl_most = 1209600;
  limits.message_delay_most = 900;
  limits.claim_ttl_most = limits.claim_grace_most = 43200;
  limits.queues_page = limits.messages_page = limits.claim_or_pop = 20;
  limits.metadata_most = 65536;
  limits.post_most = 262144;
  return limits;
}

/* What was read, or what was said. */
std::string
post (const std::string &text)
{
  ZmZaqarLimits limits = limits_of ();
  GError *error = nullptr;
  GArray *puts = zm_zaqar_read_post (span_of (text), &limits, ZM_SPAN_LITERAL ("0123456789abcdef"), &error);
  std::string out;

  if (puts == nullptr) {
    out = error->code == ZM_ZAQAR_BODY ? "body: " : "api: ";
    return out + said (error);
  }
  for (guint i = 0; i < puts->len; i++) {
    const ZmPut *put = &g_array_index (puts, ZmPut, i);

    out +=
        string_of (put->body) + " " + std::to_string (put->ttl_s) + " " + std::to_string (put->delay_s) + ";";
    EXPECT_EQ (put->client.size, 16u);
  }
  g_array_unref (puts);
  return out;
}

TEST (ZaqarPost, KeepsBodiesAsTheyCame)
{
  EXPECT_EQ (post ("{\"messages\":[{\"body\":{\"a\" : [1, 2.50] },\"ttl\":60,\"delay\":0}]}"),
             "{\"a\" : [1, 2.50] } 60 0;");
  EXPECT_EQ (
      post ("{\"messages\": [{\"body\":null},{\"ttl\":1209600,\"body\": \"x\\u0041\" , \"delay\":900}]}"),
      "null -1 -1;\"x\\u0041\" 1209600 900;");
  EXPECT_EQ (post ("{\"x\":[{\"ttl\":true}],\"messages\":[{\"body\":1,\"unknown\":{\"ttl\":5}}],\"y\":{}}"),
             "1 -1 -1;");
  /* Of two of one name the last one counts. */
  EXPECT_EQ (post ("{\"messages\":[{\"body\":1},{\"body\":2}],\"messages\":[{\"body\":3,\"body\":4}]}"),
             "4 -1 -1;");
}

TEST (ZaqarPost, SaysWhatIsWrongAndWhere)
{
  const struct {
    const char *text, *expected;
  } cases[] = {
    { "{}", "api: No messages were found in the request body. Member: messages." },
    { "[]", "api: No messages were found in the request body. Member: messages." },
    { "[{\"body\":1}]", "api: No messages were found in the request body. Member: messages." },
    { "{\"messages\":[]}", "api: No messages to enqueue. Member: messages." },
    { "{\"messages\":{}}", "body: Document type not supported. Member: messages." },
    { "{\"messages\":null}", "body: Document type not supported. Member: messages." },
    { "{\"messages\":[{\"body\":1},7]}", "body: Document type not supported. Member: messages[1]." },
    { "{\"messages\":[{\"ttl\":60}]}", "body: Missing \"body\" field. Member: messages[0]." },
    { "{\"messages\":[{\"body\":1,\"ttl\":\"60\"}]}",
      "body: The value of the \"ttl\" field must be a int. Member: messages[0].ttl." },
    { "{\"messages\":[{\"body\":1,\"ttl\":60.0}]}",
      "body: The value of the \"ttl\" field must be a int. Member: messages[0].ttl." },
    { "{\"messages\":[{\"body\":1,\"delay\":null}]}",
      "body: The value of the \"delay\" field must be a int. Member: messages[0].delay." },
    { "{\"messages\":[{\"body\":1},{\"body\":1,\"ttl\":0}]}",
      "api: The TTL for a message may not exceed 1209600 seconds, and must be at least 60 seconds long. "
      "Member: messages[1].ttl." },
    { "{\"messages\":[{\"body\":1,\"ttl\":1209601}]}",
      "api: The TTL for a message may not exceed 1209600 seconds, and must be at least 60 seconds long. "
      "Member: messages[0].ttl." },
    { "{\"messages\":[{\"body\":1,\"delay\":901}]}",
      "api: The Delay TTL for a message may not exceed 900 seconds, and must be at least 0 seconds long. "
      "Member: messages[0].delay." },
    { "{\"messages\":[{\"body\":99999999999999999999}]}", "body: JSON contains integer that is too large." },
    { "{\"messages\":[", "body: Request body could not be parsed." },
    { "17", "body: Request body could not be parsed." },
  };

  for (const auto &c : cases)
    EXPECT_EQ (post (c.text), c.expected) << c.text;
}

std::string
claim (const std::string &text)
{
  ZmZaqarLimits limits = limits_of ();
  ZmZaqarClaim read;
  GError *error = nullptr;

  if (zm_zaqar_read_claim (span_of (text), &limits, &read, &error))
    return std::to_string (read.ttl_s) + " " + std::to_string (read.grace_s);
  return said (error);
}

TEST (ZaqarClaim, Reads)
{
  EXPECT_EQ (claim (""), "300 60");
  EXPECT_EQ (claim ("{}"), "300 60");
  EXPECT_EQ (claim ("{\"ttl\":60,\"x\":1}"), "60 60");
  EXPECT_EQ (claim ("{\"ttl\":43200,\"grace\":43200}"), "43200 43200");
  EXPECT_EQ (claim ("{\"ttl\":null}"), "The value of the \"ttl\" field must be a int. Member: ttl.");
  EXPECT_EQ (
      claim ("{\"ttl\":59}"),
      "The TTL for a claim may not exceed 43200 seconds, and must be at least 60 seconds long. Member: ttl.");
  EXPECT_EQ (claim ("{\"grace\":43201}"), "The grace for a claim may not exceed 43200 seconds, and must be "
                                          "at least 60 seconds long. Member: grace.");
  EXPECT_EQ (claim ("[]"), "Document type not supported.");
}

std::string
purge (const std::string &text)
{
  gboolean messages, subscriptions;
  GError *error = nullptr;

  if (zm_zaqar_read_purge (span_of (text), &messages, &subscriptions, &error))
    return std::string (messages ? "m" : "") + (subscriptions ? "s" : "");
  return said (error);
}

TEST (ZaqarPurge, Reads)
{
  EXPECT_EQ (purge (""), "ms");
  EXPECT_EQ (purge ("{\"resource_types\":[\"messages\"]}"), "m");
  EXPECT_EQ (purge ("{\"resource_types\":[\"subscriptions\",\"messages\"],\"x\":[1]}"), "ms");
  EXPECT_EQ (purge ("{\"resource_types\":[]}"), "");
  EXPECT_EQ (purge ("{}"), "Post body must contain key \"resource_types\".");
  EXPECT_EQ (purge ("{\"resource_types\":\"messages\"}"),
             "Document type not supported. Member: resource_types.");
  EXPECT_EQ (purge ("{\"resource_types\":[\"claims\"]}"),
             "Resource types must be a sub set of {'messages', 'subscriptions'}. Member: resource_types.");
}

/* ---- names and values ---- */

TEST (Zaqar, ReadsClientIds)
{
  const char *const good[] = { "3381af92-2b9e-11e3-b191-71861300734c", "3381af922b9e11e3b19171861300734c",
                               "{3381AF92-2B9E-11E3-B191-71861300734C}",
                               "urn:uuid:3381af92-2b9e-11e3-b191-71861300734c" };
  const char *const bad[] = { "",
                              "3381af92",
                              "3381af92-2b9e-11e3-b191-71861300734",
                              "3381af92-2b9e-11e3-b191-71861300734cc",
                              "3381af92-2b9e-11e3-b191-71861300734g",
                              "default",
                              "3381af922b9e11e3b19171861300734c x" };
  guint8 out[16];

  for (const char *text : good) {
    ASSERT_TRUE (zm_zaqar_uuid_read (text, out)) << text;
    EXPECT_EQ (out[0], 0x33) << text;
    EXPECT_EQ (out[15], 0x4c) << text;
  }
  for (const char *text : bad)
    EXPECT_FALSE (zm_zaqar_uuid_read (text, out)) << text;
}

TEST (Zaqar, ReadsNamesAndBooleans)
{
  gboolean value;

  EXPECT_TRUE (zm_zaqar_queue_name_ok (ZM_SPAN_LITERAL ("a.B_9-")));
  EXPECT_TRUE (zm_zaqar_queue_name_ok (span_of (std::string (64, 'q'))));
  for (const std::string &name : { std::string (), std::string (65, 'q'), std::string ("a b"),
                                   std::string ("\xc3\xa4"), std::string ("^x"), std::string ("a/b") })
    EXPECT_FALSE (zm_zaqar_queue_name_ok (span_of (name))) << name;
  for (const char *text : { "true", "True", "t", "yes", "y", "1", "on" })
    EXPECT_TRUE (zm_zaqar_boolean_read (text, &value) && value) << text;
  for (const char *text : { "false", "False", "f", "no", "n", "0", "off" })
    EXPECT_TRUE (zm_zaqar_boolean_read (text, &value) && !value) << text;
  for (const char *text : { "", "TRUE", "2", "maybe" })
    EXPECT_FALSE (zm_zaqar_boolean_read (text, &value)) << text;
}

/* ---- metadata ---- */

std::string
meta_check (const std::string &text)
{
  ZmZaqarLimits limits = limits_of ();
  GError *error = nullptr;
  g_autoptr (ZmMeta) meta = zm_meta_read (span_of (text), &error);

  if (meta != nullptr && zm_meta_check (meta, ZM_SPAN_LITERAL ("q"), &limits, &error))
    return taken (zm_meta_text (meta));
  return said (error);
}

TEST (ZaqarMetadata, ChecksReservedKeys)
{
  const struct {
    const char *text, *expected;
  } cases[] = {
    { "{}", "{}" },
    { "{\"a\":1,\"b\":{\"c\":[1, 2]},\"a\":\"x\"}", "{\"a\":\"x\",\"b\":{\"c\":[1, 2]}}" },
    { "[]", "Document type not supported." },
    { "{\"_default_message_ttl\":60}", "{\"_default_message_ttl\":60}" },
    { "{\"_default_message_ttl\":null,\"_dead_letter_queue\":null}",
      "{\"_default_message_ttl\":null,\"_dead_letter_queue\":null}" },
    { "{\"_default_message_ttl\":\"60\"}", "_default_message_ttl must be integer." },
    { "{\"_default_message_ttl\":59}",
      "_default_message_ttl can not exceed 1209600 seconds, and must be at least 60 seconds long." },
    { "{\"_default_message_delay\":901}",
      "_default_message_delay can not exceed 900 seconds, and must be at least 0 seconds long." },
    { "{\"_max_messages_post_size\":0}",
      "_max_messages_post_size can not exceed 262144, and must be at least greater than 0." },
    { "{\"_max_claim_count\":1.5}", "_max_claim_count must be integer." },
    { "{\"_dead_letter_queue\":\"q\"}", "_dead_letter_queue can not be the queue itself." },
    { "{\"_dead_letter_queue\":\"a b\"}", "_dead_letter_queue must be the name of a queue." },
    { "{\"_dead_letter_queue\":7}", "_dead_letter_queue must be string." },
    { "{\"_enable_encrypt_messages\":1}", "_enable_encrypt_messages must be boolean." },
    { "{\"_retry_policy\":[]}", "retry policy must be a dict. Member: _retry_policy." },
  };

  for (const auto &c : cases)
    EXPECT_EQ (meta_check (c.text), c.expected) << c.text;
  EXPECT_EQ (meta_check ("{\"a\":\"" + std::string (65536, 'x') + "\"}"),
             "Queue metadata is too large. Max size: 65536");
}

TEST (ZaqarMetadata, FillsWhatIsMissingOrSaysNothing)
{
  ZmZaqarLimits limits = limits_of ();
  g_autoptr (ZmMeta) meta =
      zm_meta_read (ZM_SPAN_LITERAL ("{\"x\":1,\"_default_message_ttl\":0,\"_max_claim_count\":3}"), nullptr);

  zm_meta_fill (meta, &limits);
  EXPECT_EQ (
      taken (zm_meta_text (meta)),
      "{\"x\":1,\"_default_message_ttl\":3600,\"_max_claim_count\":3,\"_max_messages_post_size\":262144,"
      "\"_default_message_delay\":0,\"_dead_letter_queue\":null,\"_dead_letter_queue_messages_ttl\":null,"
      "\"_enable_encrypt_messages\":false}");
}

std::string
patch (const std::string &before, const std::string &text)
{
  GError *error = nullptr;
  g_autoptr (ZmMeta) meta = zm_meta_read (span_of (before), &error);

  if (zm_meta_patch (meta, span_of (text), &error))
    return taken (zm_meta_text (meta));
  std::string title = error->code == ZM_ZAQAR_CONFLICT ? "409 " : "";
  return title + said (error);
}

TEST (ZaqarMetadata, Patches)
{
  const struct {
    const char *before, *text, *expected;
  } cases[] = {
    { "{}", "[{\"op\":\"add\",\"path\":\"/metadata/a\",\"value\":{\"x\": 1}}]", "{\"a\":{\"x\": 1}}" },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/metadata/a\",\"value\":2}]", "{\"a\":2}" },
    { "{\"a\":1,\"b\":2}",
      "[{\"op\":\"remove\",\"path\":\"/metadata/a\"},{\"op\":\"replace\",\"path\":\"/metadata/"
      "b\",\"value\":null}]",
      "{\"b\":null}" },
    { "{}", "[{\"op\":\"remove\",\"path\":\"/metadata/_max_claim_count\"}]", "{}" },
    { "{}", "[{\"value\":7,\"path\":\"/metadata/_max_claim_count\",\"op\":\"replace\"}]",
      "{\"_max_claim_count\":7}" },
    { "{}", "[{\"op\":\"add\",\"path\":\"/metadata/a~1b~0c\",\"value\":1}]", "{\"a/b~c\":1}" },
    { "{}", "[]", "{}" },
    { "{}", "[{\"op\":\"remove\",\"path\":\"/metadata/a\"}]",
      "409 Can't remove non-existent object a. Member: [0]." },
    { "{\"a\":1}",
      "[{\"op\":\"add\",\"path\":\"/metadata/a\",\"value\":1},{\"op\":\"replace\",\"path\":\"/metadata/"
      "b\",\"value\":1}]",
      "409 Can't replace non-existent object b. Member: [1]." },
    { "{}", "{}", "Request body must be a JSON array of operation objects. Member: [0]." },
    { "{}", "[1]", "Operations must be JSON objects. Member: [0]." },
    { "{}", "[{\"path\":\"/metadata/a\"}]",
      "Unable to find `op` in JSON Schema change. It must be one of the following: add, remove, replace. "
      "Member: [0]." },
    { "{}", "[{\"op\":\"move\",\"path\":\"/metadata/a\"}]",
      "Invalid operation: `move`. It must be one of the following: add, remove, replace. Member: [0]." },
    { "{}", "[{\"op\":\"add\",\"value\":1}]", "Unable to find 'path' in JSON Schema change Member: [0]." },
    { "{}", "[{\"op\":\"add\",\"path\":\"/metadata/a\"}]",
      "Operation \"add\" requires a member named \"value\". Member: [0]." },
    { "{}", "[{\"op\":\"add\",\"path\":\"metadata/a\",\"value\":1}]",
      "Pointer `metadata/a` does not start with \"/\". Member: [0]." },
    { "{}", "[{\"op\":\"add\",\"path\":\"/metadata/a/b\",\"value\":1}]",
      "Invalid JSON pointer for this resource: '/metadata/a/b', e.g /metadata/key Member: [0]." },
    { "{}", "[{\"op\":\"remove\",\"path\":\"/queue/a\"}]",
      "The root of path must be metadata, e.g /metadata/key. Member: [0]." },
    { "{}", "[{\"op\":\"add\",\"path\":\"/metadata/~2\",\"value\":1}]",
      "Pointer `/metadata/~2` contains \"~\" not part of a recognized escape sequence. Member: [0]." },
  };

  for (const auto &c : cases)
    EXPECT_EQ (patch (c.before, c.text), c.expected) << c.text;
}

/* ---- signatures ---- */

char **
list_of (const std::vector<std::string> &items)
{
  char **list = g_new0 (char *, items.size () + 1);

  for (size_t i = 0; i < items.size (); i++)
    list[i] = g_strdup (items[i].c_str ());
  return list;
}

std::string
sign (const std::vector<std::string> &paths, const std::vector<std::string> &methods, const char *project,
      const char *expires, const char *key)
{
  g_auto (ZmSigned) parts = { list_of (paths), list_of (methods), g_strdup (project), g_strdup (expires) };

  return taken (zm_signed_signature (&parts, key));
}

/* Worked out with Python's hmac, as Zaqar does it. */
TEST (ZaqarSign, IsZaqarsSignature)
{
  EXPECT_EQ (sign ({ "/v2/queues/q/messages" }, { "GET" }, "p", "2030-01-01T00:00:00", "secret"),
             "75e8eb995184cfed9aeca9a314497da9b9976b13105df69560fe425b171a2f28");
  EXPECT_EQ (sign ({ "/v2/queues/q/subscriptions", "/v2/queues/q/messages" }, { "POST", "GET" }, "p",
                   "2030-01-01T00:00:00", "secret"),
             "69af25742455d710d59267d52db658f6d2bde28d3921d226c96cadd5ae9dae58");
  EXPECT_EQ (sign ({ "/v2/queues/q/messages" }, { "GET" }, "a\\nb", "2030-01-01T00:00:00", "secret"),
             "(null)");
}

struct Use {
  std::string method = "GET", path = "/v2/queues/q/messages", project = "p", expires = "2030-01-01T00:00:00",
              methods = "GET", paths = "/v2/queues/q/messages", key = "secret";
};

gboolean
verify (const Use &use, const std::string &signature, gint64 now_s = 1800000000)
{
  ZmSignedUse given = {};

  given.method = use.method.c_str ();
  given.path = use.path.c_str ();
  given.project = use.project.c_str ();
  given.signature = signature.c_str ();
  given.expires = use.expires.c_str ();
  given.methods = use.methods.c_str ();
  given.paths = use.paths.c_str ();
  return zm_signed_verify (&given, use.key.c_str (), now_s);
}

TEST (ZaqarSign, VerifiesWhatWasSignedOnly)
{
  std::string good = sign ({ "/v2/queues/q/messages" }, { "GET" }, "p", "2030-01-01T00:00:00", "secret");
  Use use;

  EXPECT_TRUE (verify (use, good));
  EXPECT_TRUE (verify (use, good, 1893455999));
  EXPECT_FALSE (verify (use, good, 1893456000));
  EXPECT_FALSE (verify (use, ""));
  EXPECT_FALSE (verify (use, good.substr (1)));
  EXPECT_FALSE (verify (use, std::string (64, '0')));
  const std::pair<std::string Use::*, const char *> changes[] = {
    { &Use::method, "POST" },
    { &Use::path, "/v2/queues/q/messagesx" },
    { &Use::path, "/v2/queues/r/messages" },
    { &Use::path, "/x/v2/queues/q/messages" },
    { &Use::project, "p2" },
    { &Use::expires, "2031-01-01T00:00:00" },
    { &Use::expires, "never" },
    { &Use::methods, "GET,POST" },
    { &Use::paths, "/v2/queues" },
    { &Use::key, "" },
    { &Use::key, "other" },
  };
  for (const auto &change : changes) {
    Use other;

    other.*change.first = change.second;
    EXPECT_FALSE (verify (other, good)) << change.second;
  }
  use.path = "/v2/queues/q/messages/some-id";
  EXPECT_TRUE (verify (use, good));
}

/* A project whose name holds what parts the parts would make one signature good for another project. */
TEST (ZaqarSign, PartsDoNotRunIntoOneAnother)
{
  Use use;

  use.method = use.methods = "PUT";
  use.project = "victim";
  use.paths = "/v2/queues/q/messages,/v2/queues/q/subscriptions\\nGET";
  EXPECT_FALSE (verify (use, "6a8578c38c296774260ef74f51c4a3f580c9698099b4f668eb09936978756143"));
}

std::string
share (const std::string &text)
{
  g_auto (ZmSigned) parts = { nullptr, nullptr, nullptr, nullptr };
  GError *error = nullptr;

  if (!zm_signed_read_share (span_of (text), "/v2/queues/q", 1800000000, &parts, &error))
    return said (error);
  return taken (g_strjoinv (" ", parts.paths)) + "; " + taken (g_strjoinv (" ", parts.methods)) + "; " +
         parts.expires;
}

TEST (ZaqarSign, ReadsShares)
{
  EXPECT_EQ (share (""), "/v2/queues/q/messages; GET; 2027-01-16T08:00:00");
  EXPECT_EQ (share ("{}"), "/v2/queues/q/messages; GET; 2027-01-16T08:00:00");
  EXPECT_EQ (share ("{\"paths\":[\"claims\",\"subscriptions\"],\"methods\":[\"POST\",\"DELETE\"],\"expires\":"
                    "\"2028-02-29T12:00:00.25\"}"),
             "/v2/queues/q/claims /v2/queues/q/subscriptions; POST DELETE; 2028-02-29T12:00:00");
  EXPECT_EQ (share ("{\"expires\":\"2028-01-01T02:00:00+02:00\"}"),
             "/v2/queues/q/messages; GET; 2028-01-01T00:00:00");
  EXPECT_EQ (share ("{\"expires\":\"2020-01-01T00:00:00\"}"), "`expires` is lower than the current time");
  EXPECT_EQ (share ("{\"expires\":\"1900000000\"}"), "`expires` should be a date: YYYY-MM-DDThh:mm:ss");
  EXPECT_EQ (share ("{\"expires\":1900000000}"), "`expires` should be a date: YYYY-MM-DDThh:mm:ss");
  EXPECT_EQ (share ("{\"methods\":\"GET\"}"), "`methods` should be a list");
  EXPECT_EQ (share ("{\"paths\":[\"stats\"]}"), "Invalid paths: {'stats'}");
  EXPECT_EQ (share ("{\"methods\":[\"GET,PUT\"]}"), "Invalid methods: {'GET,PUT'}");
  EXPECT_EQ (share ("{\"project_id\":\"p\"}"), "Unknown keys: {'project_id'}");
  EXPECT_EQ (share ("[]"), "Document type not supported.");
}

} // namespace
