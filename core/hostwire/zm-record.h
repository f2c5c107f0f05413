/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records: what the daemon and a host (a zmanager-host process) say to each other. One form for all: a head, numbers, parts.
 * Both run on one machine and come from one build, so that bytes are in the machine's own order; but what a host writes may
 * come from a plugin that wrote over the host's memory, so the daemon reads it as a stranger's.
 *
 * Nothing here keeps anything; any thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

#define ZM_RECORD_NUMBERS 12
#define ZM_RECORD_PARTS   12
#define ZM_RECORD_HEAD    16
#define ZM_RECORD_MOST \
  (G_GUINT64_CONSTANT (1) << 31) /* bytes of one record: a body of 1 GiB and what goes with it */
/* The greatest whole size of a record without its parts. */
#define ZM_RECORD_FIXED (ZM_RECORD_HEAD + 8 * ZM_RECORD_NUMBERS + 4 * ZM_RECORD_PARTS)

/*
 * `id` is what the record is about. Of each kind: its numbers, then its parts ("?" may be absent).
 *
 * Plugins, by the serial of their generation; each is answered once, in the order in which they were asked:
 *   PREPARE   load: generation's number, threads that make its calls (its own; a SERIAL plugin has one) | name, private copy's
 *             path
 *   INIT      init: - | configuration
 *   COMMIT    start: -
 *   RETIRE    stop: deadline_ms
 *   CLOSE     fini and dlclose; no call of it is outstanding: -
 *   CONFIGURE take these values, and call reload: deadline_ms | configuration
 *   PREPARED  status, ZM_PLUGIN_* flags, ZM_HOSTED_* features | error?, actions, options
 *   INITED, COMMITTED, RETIRED, CLOSED, CONFIGURED  status | error?
 *     RETIRED: status is ZM_E_TIMEOUT where a thread of it did not end. CLOSED: ZM_E_FAILED where the library stays in the
 *     process; the error says why.
 * A configuration is "key NUL value NUL" for each value, lists as the same key again, in order. Actions are "symbol NUL flags
 * NUL doc NUL" each (flags: ZM_ACTION_* as a decimal), options "name NUL type NUL flags NUL standard NUL doc NUL"; standard is
 * preceded by "=" where there is one.
 *
 * Calls, by a serial of the host's own life:
 *   WORK      slot, generation, place in actions, or ZM_WORK_FUNCTION, function (of a timer), order hash or 0, deadline_us (0:
 *             timeout_us from its start), timeout_us, attempt, step, hops | flow, decorator, sender, context, action, id,
 *             headers, content type of the body? (absent: the headers tell; empty: there is none), body
 *   CANCEL    a deferred call is given up: -
 *   DONE      slot or ZM_WORK_DEFERRED, status, microseconds + 1 or 0 where not measured
 *             | content type?, key?, next?, error code?, error text?, body?
 *   DEFERRED  slot: the slot is free again, DONE follows later
 *
 * Services of a generation:
 *   EMIT      generation, source or 0, hops so far | key?, flow?, id?, headers?, body
 *   EMITTED   how many: so many more may be sent
 *   ASK       (zm_call_action, id: the host's own) generation, hops so far, timeout_ms | as EMIT
 *   ANSWER    (to ASK) status | body
 *   TIMER     (id: the host's own) generation, function, first_ms, period_ms | name
 *   UNTIMER   (by that id) generation
 *   LOG       (id: generation or 0) level | text
 *   METRIC    (id: generation) kind, value's bits (a double) | name
 *   LOOP      (id: generation) an EMIT or ASK that the host refused, as it came over too many hops: -
 *   PUT       (zm_put_message, id: the host's own, as of the four that follow) generation, how, ttl_ms, delay_ms
 *             | queue, key?, id?, headers?, body
 *   EMPTY     (zm_wait_empty) generation, timeout_ms | queue, key?
 *   SEND      (zm_emit_durable) generation, source or 0, hops so far | as EMIT
 *   KEEP      generation | name, value?
 *   KEPT      generation | name
 *   Each is answered by one ANSWER; of KEPT its body is the value.
 *
 * Sources, by a serial that the daemon chose:
 *   OPEN      generation | name, configuration
 *   WAKE, SHUT -
 *   OPENED    status (of open)
 *   RETURNED  status (of run); it is closed by SHUT
 *   SHUTTED   -
 *
 * The process:
 *   READY     version (ZM_HOST_VERSION), slots
 *   PING, PONG -
 *   BYE       end: everything is closed
 *   MEMORY    what its plugins should need at most from now on, bytes; 0: no limit
 */
typedef enum {
  ZM_RECORD_READY = 1,
  ZM_RECORD_PING,
  ZM_RECORD_PONG,
  ZM_RECORD_BYE,
  ZM_RECORD_PREPARE,
  ZM_RECORD_INIT,
  ZM_RECORD_COMMIT,
  ZM_RECORD_RETIRE,
  ZM_RECORD_CLOSE,
  ZM_RECORD_CONFIGURE,
  ZM_RECORD_PREPARED,
  ZM_RECORD_INITED,
  ZM_RECORD_COMMITTED,
  ZM_RECORD_RETIRED,
  ZM_RECORD_CLOSED,
  ZM_RECORD_CONFIGURED,
  ZM_RECORD_WORK,
  ZM_RECORD_CANCEL,
  ZM_RECORD_DONE,
  ZM_RECORD_DEFERRED,
  ZM_RECORD_EMIT,
  ZM_RECORD_EMITTED,
  ZM_RECORD_ASK,
  ZM_RECORD_ANSWER,
  ZM_RECORD_TIMER,
  ZM_RECORD_UNTIMER,
  ZM_RECORD_LOG,
  ZM_RECORD_METRIC,
  ZM_RECORD_OPEN,
  ZM_RECORD_WAKE,
  ZM_RECORD_SHUT,
  ZM_RECORD_OPENED,
  ZM_RECORD_RETURNED,
  ZM_RECORD_SHUTTED,
  ZM_RECORD_LOOP,
  ZM_RECORD_MEMORY,
  ZM_RECORD_PUT,
  ZM_RECORD_EMPTY,
  ZM_RECORD_SEND,
  ZM_RECORD_KEEP,
  ZM_RECORD_KEPT,
  ZM_RECORD_KINDS
} ZmRecordKind;

#define ZM_HOST_VERSION 3 /* both sides have the same, or part */

/* Features of PREPARED: what the descriptor has. */
enum {
  ZM_HOSTED_RELOAD = 1,
  ZM_HOSTED_HEALTH = 2,
  ZM_HOSTED_SOURCE = 4,
  ZM_HOSTED_HOOKS = 8,
  ZM_HOSTED_STAYS = 16
};

#define ZM_WORK_FUNCTION G_MAXUINT32 /* WORK: not an action by place, but the function that TIMER gave */
#define ZM_WORK_DEFERRED G_MAXUINT32 /* DONE: its slot was given back by DEFERRED */

/* WORK's numbers and parts by name, DONE's and EMIT's likewise. */
enum {
  ZM_WORK_SLOT,
  ZM_WORK_GENERATION,
  ZM_WORK_ACTION,
  ZM_WORK_FN,
  ZM_WORK_ORDER,
  ZM_WORK_DEADLINE,
  ZM_WORK_TIMEOUT,
  ZM_WORK_ATTEMPT,
  ZM_WORK_STEP,
  ZM_WORK_HOPS,
  ZM_WORK_NUMBERS
};
enum {
  ZM_WORK_FLOW,
  ZM_WORK_DECORATOR,
  ZM_WORK_SENDER,
  ZM_WORK_CONTEXT,
  ZM_WORK_KEY_ACTION,
  ZM_WORK_ID,
  ZM_WORK_HEADERS,
  ZM_WORK_TYPE,
  ZM_WORK_BODY,
  ZM_WORK_PARTS
};
enum { ZM_DONE_SLOT, ZM_DONE_STATUS, ZM_DONE_TOOK, ZM_DONE_NUMBERS };
enum { ZM_DONE_TYPE, ZM_DONE_KEY, ZM_DONE_NEXT, ZM_DONE_CODE, ZM_DONE_TEXT, ZM_DONE_BODY, ZM_DONE_PARTS };
enum { ZM_EMIT_GENERATION, ZM_EMIT_SOURCE, ZM_EMIT_HOPS, ZM_EMIT_NUMBERS };
enum { ZM_ASK_GENERATION, ZM_ASK_HOPS, ZM_ASK_TIMEOUT, ZM_ASK_NUMBERS };
enum { ZM_PUT_GENERATION, ZM_PUT_HOW, ZM_PUT_TTL, ZM_PUT_DELAY, ZM_PUT_NUMBERS };
enum { ZM_PUT_QUEUE, ZM_PUT_KEY, ZM_PUT_ID, ZM_PUT_HEADERS, ZM_PUT_BODY, ZM_PUT_PARTS };
enum { ZM_EVENT_KEY, ZM_EVENT_FLOW, ZM_EVENT_ID, ZM_EVENT_HEADERS, ZM_EVENT_BODY, ZM_EVENT_PARTS };

/* To be written: a part with data NULL is absent. Read: parts point into the bytes that were read. */
typedef struct ZmRecord {
  ZmRecordKind kind;
  guint64 id;
  guint n_numbers, n_parts;
  guint64 numbers[ZM_RECORD_NUMBERS]; /* signed ones are cast */
  ZmSpan parts[ZM_RECORD_PARTS];
} ZmRecord;

/* The bytes that it takes. */
gsize zm_record_size (const ZmRecord *record);
/* Writes all of it but the bytes of the last part, for who writes that from where it is. Returns the bytes written; out has
 * room for zm_record_size. */
gsize zm_record_write_head (const ZmRecord *record, guint8 *out);
/* Writes zm_record_size bytes. */
void zm_record_write (const ZmRecord *record, guint8 *out);
/* Appends it to an array of bytes. */
void zm_record_append (const ZmRecord *record, GByteArray *out);

/* Reads the first one of these bytes. The size of it; 0: more bytes are needed, *needed in all; -1 with error: it is none of
 * ours, and nothing behind it can be read either. */
gssize zm_record_read (const guint8 *data, gsize size, ZmRecord *record, gsize *needed, GError **error);

/* A part as text with its end, NULL where it is absent or has a NUL in it. The caller frees. */
char *zm_record_text (const ZmRecord *record, guint part);

/* The next text of a list of texts that each end in NUL; NULL: none is left. Moves list on. Borrowed. */
const char *zm_record_next_text (ZmSpan *list);

G_END_DECLS
