/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Items, and lists of them in order. */
#include "plugins/stores/memory/private.h"

#include <stdlib.h>

#define FIRST_ROOM 8

/* Of an append or a put; of a lease its owner. */
zs_item *
zs_item_new (const zm_store_op *op)
{
  int record = op->kind == ZM_STORE_APPEND;
  size_t space = record ? 0 : op->space.size, key = record ? 0 : op->key.size;
  zs_item *item = malloc (sizeof *item + space + key + op->data.size);

  if (item == NULL)
    return NULL;
  *item = (zs_item){ .held = 1,
                     .space_size = (uint32_t) space,
                     .key_size = (uint32_t) key,
                     .seq = op->seq,
                     .tag = op->tag,
                     .expires_us = op->expires_us,
                     .size = op->data.size };
  if (space > 0)
    memcpy (item->bytes, op->space.data, space);
  if (key > 0)
    memcpy (item->bytes + space, op->key.data, key);
  if (op->data.size > 0)
    memcpy (item->bytes + space + key, op->data.data, op->data.size);
  return item;
}

/* With what the allocator and the list need for it, about. */
uint64_t
zs_item_cost (const zs_item *item)
{
  return sizeof *item + item->space_size + item->key_size + item->size + 4 * sizeof (void *);
}

zm_str
zs_item_space (const zs_item *item)
{
  zm_str space = { item->bytes, item->space_size };

  return space;
}

zm_str
zs_item_key (const zs_item *item)
{
  zm_str key = { item->bytes + item->space_size, item->key_size };

  return key;
}

zm_str
zs_item_data (const zs_item *item)
{
  zm_str data = { item->bytes + item->space_size + item->key_size, item->size };

  return data;
}

void
zs_item_let_go (zs_item *item)
{
  if (item != NULL && --item->held == 0)
    free (item);
}

zs_item *
zs_list_nth (const zs_list *list, size_t place)
{
  return place < list->n ? list->at[list->head + place] : NULL;
}

size_t
zs_list_record (const zs_list *list, uint64_t seq)
{
  size_t low = 0, high = list->n;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (zs_list_nth (list, middle)->seq < seq)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

size_t
zs_list_document (const zs_list *list, zm_str space, zm_str key)
{
  size_t low = 0, high = list->n;

  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const zs_item *item = zs_list_nth (list, middle);
    int order = zs_compare (zs_item_space (item), space);

    if (order < 0 || (order == 0 && zs_compare (zs_item_key (item), key) < 0))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

zs_item *
zs_list_find (const zs_list *list, zm_str space, zm_str key)
{
  zs_item *item = zs_list_nth (list, zs_list_document (list, space, key));

  return item != NULL && zs_compare (zs_item_space (item), space) == 0 &&
                 zs_compare (zs_item_key (item), key) == 0
             ? item
             : NULL;
}

/* The gap in front is used up first where it is most of the room. */
static int
make_room (zs_list *list)
{
  size_t room = list->room > 0 ? list->room * 2 : FIRST_ROOM;
  zs_item **at;

  if (list->head + list->n < list->room)
    return 1;
  if (list->head > list->room / 2) {
    memmove (list->at, list->at + list->head, list->n * sizeof *list->at);
    list->head = 0;
    return 1;
  }
  at = realloc (list->at, room * sizeof *at);
  if (at == NULL)
    return 0;
  list->at = at;
  list->room = room;
  return 1;
}

int
zs_list_insert (zs_list *list, size_t place, zs_item *item)
{
  zs_item **at;

  if (!make_room (list))
    return 0;
  at = list->at + list->head + place;
  memmove (at + 1, at, (list->n - place) * sizeof *at);
  *at = item;
  list->n++;
  return 1;
}

zs_item *
zs_list_take (zs_list *list, size_t place)
{
  zs_item **at = list->at + list->head + place;
  zs_item *item = *at;

  /* The shorter side moves: one that stays at the front does not make each removal behind it dear. */
  if (place < list->n / 2 || place == 0) {
    memmove (list->at + list->head + 1, list->at + list->head, place * sizeof *at);
    list->head++;
  } else {
    memmove (at, at + 1, (list->n - place - 1) * sizeof *at);
  }
  if (--list->n == 0)
    list->head = 0;
  return item;
}

void
zs_list_clear (zs_list *list)
{
  for (size_t i = 0; i < list->n; i++)
    zs_item_let_go (zs_list_nth (list, i));
  free (list->at);
  *list = (zs_list){ NULL, 0, 0, 0 };
}
