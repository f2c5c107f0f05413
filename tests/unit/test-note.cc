/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The note reader: hostile files of every kind get a sentence, never a crash; mutated libraries are opened in the probe only. */
#include "config.h"

#include "plugin-fixture.h"

#include <elf.h>
#include <link.h>

#include <functional>
#include <random>

using Ehdr = ElfW (Ehdr);
using Phdr = ElfW (Phdr);

/* "" for a good one. */
static std::string
reason (const std::string &bytes)
{
  g_autoptr (GError) error = nullptr;
  /* A copy of the exact size, so that a sanitizer sees a read past the end. */
  std::vector<guint8> exact (bytes.begin (), bytes.end ());
  g_autoptr (ZmManifest) manifest = zm_manifest_read_bytes (exact.data (), exact.size (), &error);

  EXPECT_EQ (manifest == nullptr, error != nullptr);
  return error != nullptr ? error->message : "";
}

/* One note as the macros write it. */
static std::string
note (const std::string &owner, guint32 type, const std::string &description)
{
  guint32 head[3] = { static_cast<guint32> (owner.size () + 1), static_cast<guint32> (description.size ()),
                      type };
  std::string out (reinterpret_cast<char *> (head), sizeof head);

  out += owner + std::string (1 + (4 - (owner.size () + 1) % 4) % 4, '\0');
  return out + description + std::string ((4 - description.size () % 4) % 4, '\0');
}

static std::string
ours (guint32 type, const std::string &text, guint32 major = ZM_ABI_MAJOR, guint32 minor = ZM_ABI_MINOR)
{
  guint32 version[2] = { major, minor };

  return note (ZM_NOTE_OWNER, type, std::string (reinterpret_cast<char *> (version), sizeof version) + text);
}

/* The smallest library: a header, one PT_NOTE, the notes. */
static std::string
library (const std::string &notes, const std::function<void (Ehdr *, Phdr *)> &change = nullptr)
{
  Ehdr header = {};
  Phdr program = {};
  std::string real = read_file (built_plugin ("plugins/swap"));

  memcpy (&header, real.data (), sizeof header); /* ident, type, machine of this host */
  header.e_phoff = sizeof header;
  header.e_phnum = 1;
  header.e_phentsize = sizeof program;
  program.p_type = PT_NOTE;
  program.p_offset = sizeof header + sizeof program;
  program.p_filesz = notes.size ();
  program.p_align = 4;
  if (change)
    change (&header, &program);
  return std::string (reinterpret_cast<char *> (&header), sizeof header) +
         std::string (reinterpret_cast<char *> (&program), sizeof program) + notes;
}

static const std::string good_note =
    ours (ZM_NOTE_MANIFEST, "name=x\nversion=1\nlicence=MIT\nsummary=Y\nkind=source\n");

TEST (Note, ReadsWhatTheMacrosWrite)
{
  g_autoptr (GError) error = nullptr;
  g_autoptr (ZmManifest) manifest =
      zm_manifest_read (built_plugin ("bad-plugins/hang-action").c_str (), &error);

  ASSERT_NE (manifest, nullptr) << error->message;
  EXPECT_STREQ (manifest->name, "hang-action");
  EXPECT_STREQ (manifest->version, "1.0");
  EXPECT_STREQ (manifest->licence, "LGPL-2.1-or-later");
  EXPECT_STREQ (manifest->summary, "Its action never comes back");
  EXPECT_STREQ (manifest->kind, "component");
  EXPECT_EQ (manifest->abi_major, static_cast<guint> (ZM_ABI_MAJOR));
  std::map<std::string, bool> actions;
  for (int i = 0; manifest->actions[i] != nullptr; i++)
    actions[manifest->actions[i]] = manifest->threadsafe[i];
  EXPECT_EQ (actions,
             (std::map<std::string, bool>{
                 { "hang_serial", false }, { "hang_safe", true }, { "polite", false }, { "quick", false } }));
}

TEST (Note, ReadsEveryKey)
{
  g_autoptr (GError) error = nullptr;
  std::string bytes =
      library (ours (ZM_NOTE_ACTION, "action=go\nflags=threadsafe fast\ncolour=red\n") +
               note ("GNU", 3, "\x12\xab") + note ("else", 7, "whatever") +
               ours (ZM_NOTE_MANIFEST, "name=Größe\nkind=protocol\nschemes=http, https\ndepends=a b.c\n"
                                       "isolation=process\nweight=12=3\n"));
  g_autoptr (ZmManifest) manifest =
      zm_manifest_read_bytes (reinterpret_cast<const guint8 *> (bytes.data ()), bytes.size (), &error);

  ASSERT_NE (manifest, nullptr) << error->message;
  EXPECT_STREQ (manifest->name, "Größe");
  EXPECT_STREQ (manifest->kind, "protocol");
  EXPECT_STREQ (manifest->isolation, "process");
  EXPECT_STREQ (manifest->schemes[1], "https");
  EXPECT_STREQ (manifest->depends[1], "b.c");
  EXPECT_EQ (manifest->depends[2], nullptr);
  EXPECT_STREQ (manifest->build_id, "12ab");
  EXPECT_STREQ (manifest->unknown[0], "colour=red");
  EXPECT_STREQ (manifest->unknown[1], "weight=12=3");
  EXPECT_TRUE (manifest->threadsafe[0]);
  EXPECT_EQ (manifest->version, nullptr);
}

TEST (Note, GapsOfSanitizersAreSkipped)
{
  std::string gap (32, '\0');

  EXPECT_EQ (reason (library (gap + good_note + gap + ours (ZM_NOTE_ACTION, "action=go\n") + gap)), "");
}

struct BadFile {
  const char *name;
  std::string bytes;
  const char *why;
};

static void
set_ident (Ehdr *header, int at, unsigned char value)
{
  header->e_ident[at] = value;
}

static std::vector<BadFile>
bad_files ()
{
  auto header = [] (const std::function<void (Ehdr *)> &change) {
    return library (good_note, [&] (Ehdr *e, Phdr *) { change (e); });
  };
  auto program = [] (const std::function<void (Phdr *)> &change) {
    return library (good_note, [&] (Ehdr *, Phdr *p) { change (p); });
  };
  auto text = [] (const std::string &lines) { return library (ours (ZM_NOTE_MANIFEST, lines)); };
  auto action = [] (const std::string &name) {
    return library (good_note + ours (ZM_NOTE_ACTION, "action=" + name + "\n"));
  };
  auto raw = [] (guint32 name, guint32 size, guint32 type) {
    guint32 words[3] = { name, size, type };

    return library (std::string (reinterpret_cast<char *> (words), sizeof words) + std::string (16, 'x'));
  };
  std::string whole = library (good_note);
  const bool wide = sizeof (void *) == 8;

  return {
    { "empty", "", "the file is empty" },
    { "isolation", text ("name=x\nisolation=container\n"),
      "bad line 'isolation=container': isolation is thread, process or private" },
    { "short", "\177ELF", "not an ELF file: only 4 bytes" },
    { "script", "#!/bin/sh\necho this is no library at all\n", "not an ELF file" },
    { "header cut", whole.substr (0, 40), "truncated: the ELF header" },
    { "class", header ([&] (Ehdr *e) { set_ident (e, EI_CLASS, wide ? ELFCLASS32 : ELFCLASS64); }),
      "wrong architecture: not a" },
    { "class none", header ([] (Ehdr *e) { set_ident (e, EI_CLASS, 9); }), "wrong architecture" },
    { "byte order", header ([] (Ehdr *e) {
        set_ident (e, EI_DATA, e->e_ident[EI_DATA] == ELFDATA2LSB ? ELFDATA2MSB : ELFDATA2LSB);
      }),
      "of the other byte order" },
    { "ELF version", header ([] (Ehdr *e) { set_ident (e, EI_VERSION, 2); }), "unknown ELF version" },
    { "machine", header ([] (Ehdr *e) { e->e_machine = EM_SPARC; }),
      "wrong architecture: built for machine 2, this is machine" },
    { "program", header ([] (Ehdr *e) { e->e_type = ET_EXEC; }), "not a shared library (ELF type 2)" },
    { "object", header ([] (Ehdr *e) { e->e_type = ET_REL; }), "not a shared library (ELF type 1)" },
    { "no program headers", header ([] (Ehdr *e) { e->e_phnum = 0; }), "damaged: 0 program headers" },
    { "many program headers", header ([] (Ehdr *e) { e->e_phnum = 65535; }),
      "damaged: 65535 program headers" },
    { "program header size", header ([] (Ehdr *e) { e->e_phentsize = 7; }), "program headers of 7 bytes" },
    { "headers past the end", header ([] (Ehdr *e) { e->e_phoff = 1 << 20; }),
      "truncated: the program header table" },
    { "headers wrap", header ([] (Ehdr *e) { e->e_phoff = ~static_cast<decltype (e->e_phoff)> (0); }),
      "truncated" },
    { "headers cut", header ([] (Ehdr *e) { e->e_phnum = 200; }), "truncated: a program header" },
    { "segment past the end", program ([] (Phdr *p) { p->p_type = PT_LOAD, p->p_filesz = 1 << 20; }),
      "truncated: a segment" },
    { "segment wraps", program ([] (Phdr *p) {
        p->p_type = PT_LOAD, p->p_offset = ~static_cast<decltype (p->p_offset)> (0) - 8;
      }),
      "truncated: a segment" },
    { "note past the end", program ([] (Phdr *p) { p->p_filesz += 1; }), "truncated: an ELF note" },
    { "note wraps", program ([] (Phdr *p) { p->p_offset = ~static_cast<decltype (p->p_offset)> (0) - 8; }),
      "truncated" },
    { "note too large", program ([] (Phdr *p) { p->p_filesz = ~static_cast<decltype (p->p_filesz)> (0); }),
      "its ELF notes are larger than" },
    { "no note", program ([] (Phdr *p) { p->p_type = PT_NULL; }), "no note of zmanager's" },
    { "other notes only", library (note ("GNU", 3, "abcd")), "no note of zmanager's" },
    { "name size", raw (0xffffffff, 4, 1), "damaged: an ELF note is longer than its segment" },
    { "text size", raw (4, 0xffffffff, 1), "damaged: an ELF note is longer than its segment" },
    { "both sizes", raw (0xfffffffe, 0xfffffffe, 1), "damaged: an ELF note is longer than its segment" },
    { "name only", raw (16, 4, 1), "damaged: an ELF note is longer than its segment" },
    { "note without a version", library (note (ZM_NOTE_OWNER, 1, "abc")), "damaged: its note is too short" },
    { "another ABI", library (ours (ZM_NOTE_MANIFEST, "name=x\n", 2)),
      "built for plugin ABI 2.1, this is 1.1;" },
    { "another ABI with other text", library (ours (ZM_NOTE_MANIFEST, "\xff\x01 anything", 9, 3)),
      "built for plugin ABI 9.3" },
    { "action of another ABI", library (good_note + ours (ZM_NOTE_ACTION, "action=go\n", 0, 9)),
      "built for plugin ABI 0.9" },
    { "two manifests", library (good_note + good_note), "it has two manifests" },
    { "no name", text ("version=1\n"), "its note gives no name" },
    { "empty name", text ("name=\n"), "its note gives no name" },
    { "empty text", text (""), "its note gives no name" },
    { "no equals sign", text ("name=x\nnonsense\n"),
      "its note has a bad line 'nonsense': key=value is expected" },
    { "no key", text ("name=x\n=value\n"), "key=value is expected" },
    { "key twice", text ("name=x\nname=y\n"), "its note has a bad line 'name=y': the key stands twice" },
    { "list twice", text ("name=x\ndepends=a\ndepends=b\n"), "the key stands twice" },
    { "control byte", text ("name=x\x1b[31m\n"), "a control character" },
    { "NUL inside", text (std::string ("name=x\0y\n", 9)), "a control character" },
    { "carriage return", text ("name=x\r\n"), "a control character" },
    { "not UTF-8", text ("name=\xc3\x28\n"), "not UTF-8" },
    { "long text", text ("name=x\nsummary=" + std::string (70000, 'y') + "\n"),
      "its notes are longer than 65536 bytes" },
    { "actions without a manifest", library (ours (ZM_NOTE_ACTION, "action=go\n")),
      "it has actions, but no ZM_PLUGIN" },
    { "flags alone", library (good_note + ours (ZM_NOTE_ACTION, "flags=threadsafe\n")),
      "flags without an action before it" },
    { "action twice", library (good_note + ours (ZM_NOTE_ACTION, "action=go\naction=go\n")),
      "this action is named twice" },
    { "action no identifier", action ("a-b"), "names the action 'a-b', which is not a C identifier" },
    { "action empty", action (""), "not a C identifier" },
    { "action digit", action ("1st"), "not a C identifier" },
    { "action path", action ("../x"), "not a C identifier" },
    { "action long", action (std::string (300, 'a')), "not a C identifier" },
    { "action reserved", action ("zm_plugin_query_1"), "has a reserved name" },
    { "action _init", action ("_init"), "has a reserved name" },
    { "action send", action ("send"), "its action 'send' is named like a function of libc" },
    { "action index", action ("index"), "named like a function of libc" },
    { "action read", action ("read"), "named like a function of libc" },
    { "action remove", action ("remove"), "named like a function of libc" },
  };
}

TEST (Note, EveryBadFileGetsItsSentence)
{
  ASSERT_EQ (reason (library (good_note)), "");
  for (const BadFile &file : bad_files ()) {
    std::string why = reason (file.bytes);

    EXPECT_NE (why.find (file.why), std::string::npos) << file.name << ": " << why;
    EXPECT_TRUE (g_utf8_validate (why.c_str (), -1, nullptr)) << file.name;
  }
}

TEST (Note, EveryCutIsRefusedOrWhole)
{
  std::string whole = library (good_note + ours (ZM_NOTE_ACTION, "action=go\n"));

  for (size_t size = 0; size < whole.size (); size++)
    EXPECT_NE (reason (whole.substr (0, size)), "") << size;
}

/* ---- 200 mutated libraries ---- */

/* The part of a file that holds its notes. */
static std::pair<size_t, size_t>
notes_of (const std::string &bytes)
{
  Ehdr header;
  Phdr program;

  memcpy (&header, bytes.data (), sizeof header);
  for (int i = 0; i < header.e_phnum; i++) {
    memcpy (&program, bytes.data () + header.e_phoff + i * sizeof program, sizeof program);
    if (program.p_type == PT_NOTE &&
        bytes.find (ZM_NOTE_OWNER, program.p_offset) < program.p_offset + program.p_filesz)
      return { program.p_offset, program.p_filesz };
  }
  return { 0, 0 };
}

/* The n-th mutation: a third in the program headers, a third in the notes, a third anywhere. */
static std::string
mutated (const std::string &bytes, unsigned n)
{
  std::mt19937 random (n);
  std::string out = bytes;
  auto notes = notes_of (bytes);
  size_t from = 0, size = bytes.size ();

  if (n % 3 == 0)
    size = sizeof (Ehdr) + 8 * sizeof (Phdr);
  else if (n % 3 == 1)
    from = notes.first, size = notes.second;
  for (unsigned i = 0; i <= random () % 4; i++)
    out[from + random () % size] = static_cast<char> (random () % 3 == 0 ? 0xff : random ());
  return out;
}

TEST_F (PluginTest, TwoHundredMutatedLibrariesHarmNobody)
{
  std::string bytes = read_file (built_plugin ("plugins/swap")), path = base + "/mutated.so";
  std::string program = build_path ("zmanager-probe") + " " + path;
  unsigned refused = 0, opened = 0, failed = 0;

  ASSERT_GT (notes_of (bytes).second, 0u);
  for (unsigned n = 0; n < 200; n++) {
    std::string one = mutated (bytes, n);

    if (!reason (one).empty ()) {
      refused++;
      continue;
    }
    /* What the reader lets through is opened, but never in this process. */
    std::ofstream (path, std::ios::binary | std::ios::trunc) << one;
    g_autofree char *said = nullptr;
    g_autoptr (GError) error = nullptr;
    ASSERT_TRUE (g_spawn_command_line_sync (program.c_str (), &said, nullptr, nullptr, &error))
        << error->message;
    (g_str_has_suffix (said, "stage end\n") ? opened : failed)++;
  }
  std::cout << "200 mutated libraries: " << refused << " refused by their notes, " << failed
            << " failed in the probe, " << opened << " opened there\n";
  EXPECT_GE (refused, 60u);
  EXPECT_EQ (refused + failed + opened, 200u);
}
