/* SPDX-License-Identifier: MIT */
#include "base/ring.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

void ring_init(struct ring *r, uint32_t count)
{
    assert(count && (count & (count - 1)) == 0);
    *r = (struct ring){.records = mem_zalloc(count * sizeof(*r->records)), .mask = count - 1};
}

void ring_fini(struct ring *r)
{
    free(r->records);
    *r = (struct ring){0};
}

static void put_record(struct text *t, const struct ring_record *rec)
{
    text_dec(t, rec->time_us / 1000000);
    text_char(t, '.');
    text_padded(t, rec->time_us % 1000000, 6);
    text_char(t, ' ');
    text_id(t, rec->id);
    text_char(t, ' ');
    text_put(t, slice_str(rec->event));
    text_char(t, ' ');
    text_dec(t, rec->a);
    text_char(t, ' ');
    text_dec(t, rec->b);
    text_char(t, '\n');
}

void ring_dump(const struct ring *r, uint64_t id, ring_write_fn *write, void *ctx)
{
    if (!r->records)
        return;
    uint64_t count = r->mask + 1;
    for (uint64_t i = r->next > count ? r->next - count : 0; i < r->next; i++) {
        const struct ring_record *rec = &r->records[i & r->mask];
        if (id && rec->id != id)
            continue;
        char line[256];
        struct text t = text_of(line, sizeof(line));
        put_record(&t, rec);
        write(ctx, text_slice(&t));
    }
}
