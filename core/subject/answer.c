/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers on the call sockets: [request-id][status][headers][body]. None of them waits. */
#include "config.h"

#include "subject/subject-private.h"

#include <errno.h>
#include <string.h>

/* Never waits: a caller that does not read its answers loses them at its high-water mark, and nobody else notices.
 * ROUTER_MANDATORY makes the first frame fail where the peer is gone; then the others are not sent, and the message is
 * dropped as a whole. The caller's frames are closed in any case. */
void
zm_answer_frames (ZmSubject *subject, ZmCaller *caller, const char *status, zmq_msg_t *headers,
                  zmq_msg_t *body)
{
  void *socket = subject->routers[caller->router].socket;
  gboolean sent = zmq_msg_send (&caller->identity, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                  (!caller->delimiter || zmq_send (socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0) &&
                  zmq_msg_send (&caller->request_id, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                  zmq_send (socket, status, strlen (status), ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                  zmq_msg_send (headers, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                  zmq_msg_send (body, socket, ZMQ_DONTWAIT) >= 0;
  if (!sent) {
    zm_counter_add (subject->unsent, 1);
    zm_log_limited (subject->config.log, ZM_LEVEL_WARNING, "subject", "reply-unsent",
                    "a reply could not be sent: %s; the caller has gone, or takes no replies",
                    zmq_strerror (errno));
  }
  zmq_msg_close (&caller->identity);
  zmq_msg_close (&caller->request_id);
}

void
zm_answer_json (ZmSubject *subject, ZmCaller *caller, const char *status, const char *json)
{
  static const char type[] = "{\"content-type\":\"application/json\"}";
  zmq_msg_t headers, body;
  zmq_msg_init_size (&headers, sizeof type - 1);
  memcpy (zmq_msg_data (&headers), type, sizeof type - 1);
  zmq_msg_init_size (&body, strlen (json));
  memcpy (zmq_msg_data (&body), json, strlen (json));
  zm_answer_frames (subject, caller, status, &headers, &body);
  zmq_msg_close (&headers);
  zmq_msg_close (&body);
}

/* {"code": …, "text": …} */
void
zm_answer_text (ZmSubject *subject, ZmCaller *caller, const char *status, const char *code, const char *text)
{
  g_autoptr (GString) json = g_string_new ("{\"code\":");
  zm_json_append_string (json, zm_span_text (code));
  g_string_append (json, ",\"text\":");
  zm_json_append_string (json, zm_span_text (text));
  g_string_append_c (json, '}');
  zm_answer_json (subject, caller, status, json->str);
}

void
zm_answer_busy (ZmSubject *subject, ZmCaller *caller, const char *code, const char *text)
{
  zm_counter_add (subject->busy, 1);
  zm_answer_text (subject, caller, "BUSY", code, text);
}

void
zm_answer_malformed (ZmSubject *subject, ZmCaller *caller, const char *text)
{
  zm_counter_add (subject->malformed, 1);
  zm_log_limited (subject->config.log, ZM_LEVEL_WARNING, "subject", "malformed-call",
                  "a call was refused: %s", text);
  zm_answer_text (subject, caller, "ERROR", "malformed", text);
}
