/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions of the queue room, until it is built: without a store none is called. */
#pragma once

#pragma weak zm_queue_append_commit
#pragma weak zm_queue_append_undo
#pragma weak zm_queue_claim
#pragma weak zm_queue_claim_get
#pragma weak zm_queue_claim_release
#pragma weak zm_queue_claim_renew
#pragma weak zm_queue_consume_commit
#pragma weak zm_queue_consume_undo
#pragma weak zm_queue_create
#pragma weak zm_queue_delete
#pragma weak zm_queue_delete_many
#pragma weak zm_queue_get
#pragma weak zm_queue_get_metadata
#pragma weak zm_queue_id_make
#pragma weak zm_queue_id_read
#pragma weak zm_queue_list
#pragma weak zm_queue_pop
#pragma weak zm_queue_purge
#pragma weak zm_queue_put
#pragma weak zm_queue_put_how
#pragma weak zm_queue_read
#pragma weak zm_queue_reader_cursor
#pragma weak zm_queue_reader_free
#pragma weak zm_queue_reader_new
#pragma weak zm_queue_reader_settle
#pragma weak zm_queue_reader_take
#pragma weak zm_queue_remove
#pragma weak zm_queue_set_metadata
#pragma weak zm_queue_stats
#pragma weak zm_queue_unwatch
#pragma weak zm_queue_wait_empty
#pragma weak zm_queue_watch
#pragma weak zm_queues_bound
#pragma weak zm_queues_check
#pragma weak zm_queues_close
#pragma weak zm_queues_configure
#pragma weak zm_queues_count
#pragma weak zm_queues_each
#pragma weak zm_queues_free
#pragma weak zm_queues_new
#pragma weak zm_queues_status_json
#pragma weak zm_queues_tap
