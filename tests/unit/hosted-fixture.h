/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A daemon of the least kind for one zmanager-host: starts it, fills slots, says records, and keeps what it hears. */
#pragma once

#include "hostwire/zm-page.h"
#include "zmanager/plugin.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* One record, kept. */
struct Heard {
  ZmRecordKind kind = ZM_RECORD_KINDS;
  guint64 id = 0;
  std::vector<gint64> numbers;
  std::vector<std::optional<std::string>> parts;

  explicit Heard (const ZmRecord &record) : kind (record.kind), id (record.id)
  {
    for (guint i = 0; i < record.n_numbers; i++)
      numbers.push_back (static_cast<gint64> (record.numbers[i]));
    for (guint i = 0; i < record.n_parts; i++)
      if (record.parts[i].data != nullptr)
        parts.emplace_back (std::string (record.parts[i].data, record.parts[i].size));
      else
        parts.emplace_back ();
  }
  Heard () = default;

  std::string
  part (guint index) const
  {
    return index < parts.size () && parts[index] ? *parts[index] : "";
  }
  std::string
  body () const
  {
    return part (ZM_DONE_BODY);
  }
};

/* What a call may have beside its action and body. */
struct How {
  guint64 order = 0;
  gint64 deadline_us = 0;
  gint64 timeout_us = 30 * G_USEC_PER_SEC;
  std::string headers;
  std::optional<std::string> type;
  guint64 hops = 0;
  guint64 fn = 0; /* of a timer */
  std::string name;
  bool queued = true; /* false: taken back before it is sent */
};

class HostedTest : public testing::Test {
protected:
  using Strings = std::vector<std::pair<std::string, std::string>>;

  pid_t pid = 0;
  int fd = -1;
  ZmPage *page = nullptr;
  std::deque<Heard> heard;
  std::map<std::string, guint> places; /* of actions */
  std::map<guint64, guint> slot_of;    /* of calls that are not over */
  ZmPipeEnd to = {}, from = {};
  guint64 serial = 0;
  bool gone = false, corked = false;
  std::string bytes, together;

  static std::string
  build_path (const std::string &below)
  {
    const char *build = g_getenv ("ZM_BUILDDIR");

    return std::string (build != nullptr ? build : ".") + "/" + below;
  }
  static std::string
  plugin_path (const std::string &name)
  {
    size_t slash = name.rfind ('/');

    return build_path (name.substr (0, slash) + "/.libs" + name.substr (slash) + ".so");
  }

  void
  start (std::vector<std::string> more = {})
  {
    int ends[2], page_fd;
    std::string program = build_path ("zmanager-host");
    std::vector<char *> argv = { program.data (), const_cast<char *> ("test") };

    for (auto &word : more)
      argv.push_back (word.data ());
    argv.push_back (nullptr);
    ASSERT_EQ (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    page = zm_page_new (&page_fd, nullptr);
    ASSERT_NE (page, nullptr);
    pid = fork ();
    if (pid == 0) {
      int high = fcntl (ends[1], F_DUPFD, 20), page_high = fcntl (page_fd, F_DUPFD, 20);

      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (dup2 (high, 3) != 3 || dup2 (page_high, 4) != 4)
        _exit (126);
      close (high);
      close (page_high);
      execv (argv[0], argv.data ());
      _exit (127);
    }
    close (ends[1]);
    close (page_fd);
    fd = ends[0];
    to = zm_page_to_host (page);
    from = zm_page_from_host (page);
    EXPECT_EQ (wait (ZM_RECORD_READY).numbers, (std::vector<gint64>{ ZM_HOST_VERSION, ZM_PAGE_SLOTS }));
  }

  void
  TearDown () override
  {
    if (fd >= 0)
      close (fd);
    if (pid > 0) {
      int status;

      kill (pid, SIGKILL);
      waitpid (pid, &status, 0);
    }
    zm_page_free (page);
  }

  /* The end of the process as wait () tells it. */
  int
  end ()
  {
    int status = 0;

    for (int i = 0; i < 20000 && pid > 0; i++) {
      if (waitpid (pid, &status, WNOHANG) == pid) {
        pid = 0;
        return status;
      }
      g_usleep (1000);
    }
    ADD_FAILURE () << "it does not end";
    return -1;
  }

  /* ---- saying ---- */

  void
  say (ZmRecordKind kind, guint64 id, const std::vector<guint64> &numbers = {},
       const std::vector<std::optional<std::string>> &parts = {})
  {
    ZmRecord record = {};
    g_autoptr (GByteArray) out = g_byte_array_new ();

    record.kind = kind;
    record.id = id;
    record.n_numbers = static_cast<guint> (numbers.size ());
    record.n_parts = static_cast<guint> (parts.size ());
    for (size_t i = 0; i < numbers.size (); i++)
      record.numbers[i] = numbers[i];
    for (size_t i = 0; i < parts.size (); i++)
      record.parts[i] = parts[i] ? zm_span (parts[i]->data (), parts[i]->size ()) : zm_span (nullptr, 0);
    zm_record_append (&record, out);
    if (corked)
      together.append (reinterpret_cast<const char *> (out->data), out->len);
    else
      send_bytes (out->data, out->len);
  }

  /* What was said since `corked` goes in one piece. */
  void
  uncork ()
  {
    corked = false;
    send_bytes (reinterpret_cast<const guint8 *> (together.data ()), together.size ());
    together.clear ();
  }

  /* Also where the host says so much meanwhile that it has to be heard first. What it said before it died is still there. */
  void
  send_bytes (const guint8 *data, gsize size)
  {
    while (size > 0 && !gone) {
      gsize n = std::min (size, zm_pipe_room (&to));

      memcpy (zm_pipe_space (&to), data, n);
      zm_pipe_said (&to, n);
      data += n;
      size -= n;
      if (zm_pipe_tell (&to) && !zm_bell_ring (fd, &to))
        return;
      if (size > 0 && zm_pipe_ask_room (&to, 1))
        hear (10);
    }
  }

  /* ---- hearing ---- */

  void
  hear (int timeout_ms)
  {
    struct pollfd polled = { fd, POLLIN, 0 };

    if (!gone && zm_pipe_ask_more (&from, 0) && poll (&polled, 1, timeout_ms) > 0)
      gone = !zm_bell_heard (fd);
    hear_bytes (zm_pipe_ready (&from));
  }

  void
  hear_bytes (guint64 n)
  {
    ASSERT_LE (n, ZM_PIPE_BYTES);
    bytes.append (reinterpret_cast<const char *> (zm_pipe_data (&from)), n);
    if (zm_pipe_take (&from, n))
      zm_pipe_wake_writer (&from);
    take_records ();
  }

  void
  take_records ()
  {
    ZmRecord record;
    gsize needed, at = 0;
    gssize size;

    while ((size = zm_record_read (reinterpret_cast<const guint8 *> (bytes.data ()) + at, bytes.size () - at,
                                   &record, &needed, nullptr)) > 0) {
      heard.emplace_back (record);
      at += static_cast<gsize> (size);
    }
    EXPECT_EQ (size, 0) << "a record that cannot be read";
    bytes.erase (0, at);
  }

  /* What it said and had not told when it died. */
  void
  hear_rest ()
  {
    while (!gone)
      hear (20000);
    hear_bytes (zm_pipe_rest (&from));
    EXPECT_EQ (bytes, "");
  }

  bool
  take (const std::function<bool (const Heard &)> &good, Heard *out)
  {
    for (auto it = heard.begin (); it != heard.end (); ++it)
      if (good (*it)) {
        *out = *it;
        heard.erase (it);
        return true;
      }
    return false;
  }

  Heard
  wait_for (const std::function<bool (const Heard &)> &good, const std::string &what)
  {
    gint64 until = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
    Heard found;

    while (!take (good, &found)) {
      if (gone || g_get_monotonic_time () > until) {
        ADD_FAILURE () << "was not heard: " << what << (gone ? " (it is gone)" : "");
        return Heard ();
      }
      hear (100);
    }
    return found;
  }

  Heard
  wait (ZmRecordKind kind)
  {
    return wait_for ([kind] (const Heard &one) { return one.kind == kind; }, "kind " + std::to_string (kind));
  }
  Heard
  wait (ZmRecordKind kind, guint64 id)
  {
    return wait_for ([kind, id] (const Heard &one) { return one.kind == kind && one.id == id; },
                     "kind " + std::to_string (kind) + " of " + std::to_string (id));
  }

  /* ---- a plugin's life ---- */

  static std::string
  section (const Strings &values)
  {
    std::string text;

    for (auto &one : values)
      text += one.first + '\0' + one.second + '\0';
    return text;
  }

  Heard
  prepare (guint64 generation, const std::string &path, guint64 threads = 1)
  {
    std::string name = path.substr (path.rfind ('/') + 1);
    Heard answer;

    say (ZM_RECORD_PREPARE, generation, { 1, threads }, { name, plugin_path (path) });
    answer = wait (ZM_RECORD_PREPARED, generation);
    places.clear ();
    for (auto &word : words (answer.part (1), 3))
      places.emplace (word[0], static_cast<guint> (places.size ()));
    return answer;
  }

  /* Texts that each end in NUL, so many to a row. */
  static std::vector<std::vector<std::string>>
  words (const std::string &text, size_t row)
  {
    ZmSpan list = zm_span (text.data (), text.size ());
    std::vector<std::vector<std::string>> rows;
    size_t n = 0;

    for (const char *word; (word = zm_record_next_text (&list)) != nullptr; n++) {
      if (n % row == 0)
        rows.emplace_back ();
      rows.back ().push_back (word);
    }
    return rows;
  }

  void
  bring_up (guint64 generation, const std::string &path, guint64 threads = 1, const Strings &values = {})
  {
    ASSERT_EQ (prepare (generation, path, threads).numbers.at (0), ZM_OK);
    say (ZM_RECORD_INIT, generation, {}, { section (values) });
    ASSERT_EQ (wait (ZM_RECORD_INITED, generation).numbers.at (0), ZM_OK);
    say (ZM_RECORD_COMMIT, generation);
    ASSERT_EQ (wait (ZM_RECORD_COMMITTED, generation).numbers.at (0), ZM_OK);
  }

  /* ---- calls ---- */

  guint
  free_slot ()
  {
    for (guint i = 0; i < ZM_PAGE_SLOTS; i++)
      if ((std::atomic_load (&page->slots[i].word) & 3) == ZM_SLOT_IS_FREE)
        return i;
    ADD_FAILURE () << "no free slot";
    return 0;
  }

  guint64
  call (guint64 generation, const std::string &action, const std::string &body = "", const How &how = {})
  {
    guint slot = free_slot ();
    guint64 id = ++serial;
    auto place = places.find (action);

    EXPECT_TRUE (how.fn != 0 || place != places.end ()) << action;
    slot_of[id] = slot;
    std::atomic_store (&page->slots[slot].cancelled, 0u);
    std::atomic_store (&page->slots[slot].word,
                       zm_page_word (id, how.queued ? ZM_SLOT_IS_QUEUED : ZM_SLOT_IS_FREE));
    say (ZM_RECORD_WORK, id,
         { slot, generation, how.fn != 0 ? ZM_WORK_FUNCTION : place->second, how.fn, how.order,
           static_cast<guint64> (how.deadline_us), static_cast<guint64> (how.timeout_us), 1, 0, how.hops },
         { "", "", "", "T", how.name.empty () ? action : how.name, "id-1", how.headers, how.type, body });
    return id;
  }

  void
  free_the_slot (guint64 id)
  {
    std::atomic_store (&page->slots[slot_of[id]].word, zm_page_word (id, ZM_SLOT_IS_FREE));
    slot_of.erase (id);
  }

  Heard
  done (guint64 id)
  {
    Heard answer = wait (ZM_RECORD_DONE, id);

    if (slot_of.count (id) != 0)
      free_the_slot (id);
    return answer;
  }

  Heard
  call_done (guint64 generation, const std::string &action, const std::string &body = "", const How &how = {})
  {
    return done (call (generation, action, body, how));
  }
};

static inline int
status_of (const Heard &done)
{
  return done.numbers.size () > 1 ? static_cast<int> (done.numbers[ZM_DONE_STATUS]) : 1000;
}
