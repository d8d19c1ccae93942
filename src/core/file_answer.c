/* SPDX-License-Identifier: MIT */
#include "core/file_answer.h"

#include "core/answer.h"
#include "core/worker.h"
#include "static/reply.h"

static uint16_t decide(struct exchange *x, const struct file_answer *answer,
                       struct representation *rep)
{
    static const struct fields none;
    bool is_read = x->req.method == METHOD_GET || x->req.method == METHOD_HEAD;
    uint16_t status =
        reply_decide(rep, &x->req, answer->kept ? answer->kept : &none, loop_wall_s(), &x->arena);
    if (answer->status && answer->status != 200)
        return answer->status;
    return is_read ? status : 200; /* what was posted has been done: no condition undoes it */
}

void file_answer_send(struct exchange *x, const struct file_answer *answer)
{
    struct worker *w = x->worker;
    struct representation rep = {
        .file = answer->file,
        .cache_conf = &w->snapshot->gateway.open_files,
        .type = answer->type,
        .coding = answer->coding,
        .cache_control = answer->cache_control,
        .varies = answer->varies,
        .ranges = answer->ranges,
        .is_fleeting = answer->is_fleeting,
        .boundary =
            fields_has(&x->req.fields, FIELD_RANGE) ? file_cache_random(&w->files, x->id) : 0,
    };
    if (answer_skip_body(x)) {
        uint16_t status = decide(x, answer, &rep);
        bool is_refused = status == 412 || status == 416;
        answer_begin(x, status);
        if (answer->kept && !is_refused)
            answer_keep(x, answer->kept);
        reply_fill(&rep, status, &x->resp.fields, &x->resp_body, &x->arena);
        if (is_refused)
            answer_error_page(x, status);
        answer_send(x, answer->why);
    }
    file_unref(answer->file);
}
