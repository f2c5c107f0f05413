/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the HTTP room that need no sockets: addresses, targets, routes, tokens, the description, the check of [http]. */
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <set>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "http/address.h"
#include "http/http-private.h"
#include "http/zm-tokens.h"

/* server.h speaks C11 atomics, which C++ does not: what is tested of it is declared again. */
extern "C" {
typedef struct ZmRouted {
  const ZmRoute *route;
  guint allowed;
  ZmSpan raw[4];
  guint n_parts;
} ZmRouted;
ZmRouted zm_route_find (const ZmRoute *const *tables, const char *target, ZmMethod method);
const ZmRoute *const *zm_route_tables (void);
char *zm_methods_text (guint methods);
char *zm_target_decode (ZmSpan raw, gboolean plus);
gboolean zm_target_check (const char *target, const char **why);
char *zm_openapi_json (void);
}

namespace {

std::string
take (char *text)
{
  std::string out = text != nullptr ? text : "(null)";
  g_free (text);
  return out;
}

std::string
routed (const char *method_and_target, ZmMethod method)
{
  ZmRouted found = zm_route_find (zm_route_tables (), method_and_target, method);

  if (found.route == nullptr)
    return found.allowed != 0 ? "405 " + take (zm_methods_text (found.allowed)) : "404";
  std::string out = found.route->id;
  for (guint i = 0; i < found.n_parts; i++)
    out += " " + std::string (found.raw[i].data, found.raw[i].size);
  return out;
}

TEST (Route, FindsTheRowOfATarget)
{
  EXPECT_EQ (routed ("/v1/queues", ZM_GET), "queues");
  EXPECT_EQ (routed ("/v1/queues?limit=1", ZM_GET), "queues");
  EXPECT_EQ (routed ("/v1/queues/a", ZM_POST), "put a");
  EXPECT_EQ (routed ("/v1/queues/a?ttl=3", ZM_POST), "put a");
  EXPECT_EQ (routed ("/v1/queues/a", ZM_HEAD), "take a");
  EXPECT_EQ (routed ("/v1/queues/a/b", ZM_DELETE), "acknowledge a b");
  EXPECT_EQ (routed ("/v1/queues/a/stats", ZM_GET), "queue_stats a");
  EXPECT_EQ (routed ("/v1/actions/?Link?Down", ZM_POST), "send ?Link?Down");
  EXPECT_EQ (routed ("/v1/actions/a/b?c", ZM_POST), "send a/b?c");
  EXPECT_EQ (routed ("/v1/topics/", ZM_GET), "tail ");
  EXPECT_EQ (routed ("/", ZM_GET), "root");
}

TEST (Route, TellsWhatIsNotThere)
{
  EXPECT_EQ (routed ("/v1/queue", ZM_GET), "404");
  EXPECT_EQ (routed ("/v1/queues/", ZM_GET), "404");
  EXPECT_EQ (routed ("/v1/queues/a/b/c", ZM_DELETE), "404");
  EXPECT_EQ (routed ("", ZM_GET), "404");
  EXPECT_EQ (routed ("/v1/queues", ZM_DELETE), "405 GET, HEAD");
  EXPECT_EQ (routed ("/v1/admin/reload", ZM_GET), "405 POST");
}

TEST (Target, DecodesOnce)
{
  EXPECT_EQ (take (zm_target_decode (zm_span_text ("a%2Cb%252C"), FALSE)), "a,b%2C");
  EXPECT_EQ (take (zm_target_decode (zm_span_text ("a+b"), FALSE)), "a+b");
  EXPECT_EQ (take (zm_target_decode (zm_span_text ("a+b"), TRUE)), "a b");
  EXPECT_EQ (take (zm_target_decode (zm_span_text ("%C3%A4"), FALSE)), "\xc3\xa4");
}

TEST (Target, RefusesWhatIsNoText)
{
  for (const char *bad : { "%", "%4", "%zz", "%00", "%0a", "%7f", "%ff" })
    EXPECT_EQ (take (zm_target_decode (zm_span_text (bad), FALSE)), "(null)") << bad;
  const char *why = nullptr;
  EXPECT_TRUE (zm_target_check ("/a?b=%20", &why));
  for (const char *bad : { "/a b", "/a\tb", "/%", "/%2", "/%xx", "/\x7f" })
    EXPECT_FALSE (zm_target_check (bad, &why)) << bad;
}

TEST (Address, IsReadAndTold)
{
  struct {
    const char *text, *told;
    gboolean loopback;
  } rows[] = { { "127.0.0.1:80", "http://127.0.0.1:80", TRUE },
               { "127.3.4.5:80", "http://127.3.4.5:80", TRUE },
               { "localhost:8080", "http://127.0.0.1:8080", TRUE },
               { "[::1]:80", "http://[::1]:80", TRUE },
               { "0.0.0.0:80", "http://0.0.0.0:80", FALSE },
               { "[::]:0", "http://[::]:0", FALSE },
               { "10.0.0.1:0", "http://10.0.0.1:0", FALSE },
               { "unix:/x/y", "unix:/x/y", TRUE },
               { "unix:y", "unix:/run/y", TRUE } };
  for (const auto &row : rows) {
    ZmHttpAddress address;
    ASSERT_TRUE (zm_http_address_parse (row.text, "/run", &address, nullptr)) << row.text;
    EXPECT_EQ (take (zm_http_address_text (&address, FALSE)), row.told);
    EXPECT_EQ (address.loopback, row.loopback) << row.text;
  }
}

TEST (Address, RefusesOthers)
{
  for (const char *bad : { "", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80",
                           "[::1]", "[127.0.0.1]:80", "example.org:80", "unix:", "1.2.3:80" }) {
    ZmHttpAddress address;
    GError *error = nullptr;
    EXPECT_FALSE (zm_http_address_parse (bad, "/run", &address, &error)) << bad;
    EXPECT_NE (error, nullptr);
    g_clear_error (&error);
  }
}

class Tokens : public testing::Test {
protected:
  void
  SetUp () override
  {
    char form[] = "/tmp/zm-tokens-XXXXXX";
    directory = mkdtemp (form);
    path = directory + "/tokens";
  }
  void
  TearDown () override
  {
    unlink (path.c_str ());
    rmdir (directory.c_str ());
  }
  std::string
  add (const char *name, guint roles, std::vector<const char *> patterns, const char *project = "*")
  {
    char *secret = nullptr;
    GError *error = nullptr;
    patterns.push_back (nullptr);
    if (!zm_tokens_add (path.c_str (), name, project, roles, patterns.data (), &secret, &error)) {
      std::string out = std::string ("error: ") + error->message;
      g_error_free (error);
      return out;
    }
    return take (secret);
  }
  std::string directory, path;
};

TEST_F (Tokens, AreFoundByTheirSecretAlone)
{
  std::string one = add ("one", ZM_ROLE_PUBLISH, { "?Link?" }, "p"), two = add ("two", ZM_ROLE_ADMIN, {});
  g_autoptr (ZmTokens) tokens = zm_tokens_read (path.c_str (), nullptr);
  g_autofree char *text = nullptr;
  ZmKey key;
  struct stat info;

  ASSERT_NE (tokens, nullptr);
  ASSERT_EQ (zm_tokens_count (tokens), 2u);
  EXPECT_NE (one, two);
  const ZmToken *found = zm_tokens_find (tokens, zm_span_text (one.c_str ()));
  ASSERT_NE (found, nullptr);
  EXPECT_STREQ (found->name, "one");
  EXPECT_STREQ (found->project, "p");
  EXPECT_EQ (found->roles, (guint) ZM_ROLE_PUBLISH);
  EXPECT_EQ (zm_tokens_find (tokens, zm_span_text ((one + "x").c_str ())), nullptr);
  EXPECT_EQ (zm_tokens_find (tokens, zm_span (nullptr, 0)), nullptr);
  ASSERT_TRUE (zm_key_parse (zm_span_text ("?Link?Down"), &key, nullptr, nullptr));
  EXPECT_TRUE (zm_token_may_send (found, &key));
  EXPECT_TRUE (zm_token_may_send (zm_tokens_named (tokens, "two"), &key));
  ASSERT_TRUE (zm_key_parse (zm_span_text ("?Other?Down"), &key, nullptr, nullptr));
  EXPECT_FALSE (zm_token_may_send (found, &key));
  /* The secret is in no file, and nobody else may read even the hash. */
  ASSERT_TRUE (g_file_get_contents (path.c_str (), &text, nullptr, nullptr));
  EXPECT_EQ (std::string (text).find (one), std::string::npos);
  ASSERT_EQ (stat (path.c_str (), &info), 0);
  EXPECT_EQ (info.st_mode & 0777, 0600u);
}

TEST_F (Tokens, AreRemovedByName)
{
  std::string one = add ("one", ZM_ROLE_PUBLISH, {});
  EXPECT_EQ (add ("one", ZM_ROLE_PUBLISH, {}).substr (0, 6), "error:");
  add ("two", ZM_ROLE_PUBLISH, {});
  EXPECT_TRUE (zm_tokens_remove (path.c_str (), "one", nullptr));
  EXPECT_FALSE (zm_tokens_remove (path.c_str (), "one", nullptr));
  g_autoptr (ZmTokens) tokens = zm_tokens_read (path.c_str (), nullptr);
  EXPECT_EQ (zm_tokens_count (tokens), 1u);
  EXPECT_EQ (zm_tokens_find (tokens, zm_span_text (one.c_str ())), nullptr);
}

TEST_F (Tokens, AWrongLineRefusesTheFile)
{
  const std::string hash (64, 'a');
  for (const std::string &bad :
       { std::string ("one"), "one " + hash, "one " + hash + " * king", std::string ("one abc * admin"),
         "o/e " + hash + " * admin", "one " + hash + " * admin ?a",
         "one " + hash + " * admin\none " + hash + " * admin" }) {
    g_autoptr (GError) error = nullptr;
    ASSERT_TRUE (g_file_set_contents (path.c_str (), bad.c_str (), -1, nullptr));
    chmod (path.c_str (), 0600);
    EXPECT_EQ (zm_tokens_read (path.c_str (), &error), nullptr) << bad;
    EXPECT_NE (error, nullptr);
  }
  ASSERT_TRUE (g_file_set_contents (path.c_str (), "# none\n\n", -1, nullptr));
  chmod (path.c_str (), 0666);
  EXPECT_EQ (zm_tokens_read (path.c_str (), nullptr), nullptr) << "others may write it";
}

TEST (OpenApi, TellsEachRowOnce)
{
  std::string json = take (zm_openapi_json ());
  std::set<std::string> ids;

  EXPECT_TRUE (zm_json_valid (zm_span_text (json.c_str ())));
  for (const ZmRoute *const *table = zm_route_tables (); *table != nullptr; table++)
    for (const ZmRoute *route = *table; route->path != nullptr; route++) {
      EXPECT_TRUE (ids.insert (route->id).second) << route->id;
      EXPECT_NE (json.find ("\"operationId\":\"" + std::string (route->id) + "\""), std::string::npos)
          << route->id;
    }
}

guint
problems_of (std::initializer_list<const char *> settings)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmConfig) config = zm_config_new ();

  for (const char *setting : settings)
    zm_config_add_setting (config, setting, "--set", problems);
  zm_config_finish (config, problems);
  zm_http_check (config, problems);
  return zm_problems_errors (problems);
}

TEST (Check, NobodyIsLetInFromOutsideWithoutTokens)
{
  EXPECT_EQ (problems_of ({}), 0u);
  EXPECT_EQ (problems_of ({ "http.listen=127.0.0.1:1" }), 0u);
  EXPECT_EQ (problems_of ({ "http.listen=unix:/x" }), 0u);
  EXPECT_EQ (problems_of ({ "http.listen=0.0.0.0:1" }), 1u);
  EXPECT_EQ (problems_of ({ "http.listen=0.0.0.0:1", "http.auth=token" }), 0u);
  EXPECT_EQ (problems_of ({ "http.listen=127.0.0.1:1 [::]:2" }), 1u);
  EXPECT_EQ (problems_of ({ "http.listen=nowhere" }), 1u);
  EXPECT_EQ (problems_of ({ "http.tls-key=/no/such" }), 1u);
  EXPECT_EQ (problems_of ({ "zaqar.default_message_ttl=2000000" }), 1u);
}

} // namespace
