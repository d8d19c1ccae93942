/* SPDX-License-Identifier: MIT */
#include "admin/cli_remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"

/* ---- finding it ---- */

static bool set_address(const char *command, struct slice text, const struct address *a,
                        struct remote_address *out)
{
    memcpy(&out->addr.sa, &a->sa, a->len);
    out->addr.len = a->len;
    snprintf(out->text, sizeof(out->text), SLICE_FMT, SLICE_ARG(text));
    if (a->kind == ADDRESS_INET && net_addr_port(&out->addr) == 0) {
        fprintf(stderr, "sluice %s: '%s' does not say which port: name it with --admin\n", command,
                out->text);
        return false;
    }
    return true;
}

static bool take_given(const char *command, const char *given, struct remote_address *out)
{
    struct address a;
    const char *why = address_parse_listen(slice_str(given), &a);
    const char *token = getenv("SLUICE_TOKEN");
    if (!why && a.kind == ADDRESS_FD)
        why = "a descriptor is nothing to connect to";
    if (why) {
        fprintf(stderr, "sluice %s: '%s' is no address: %s\n", command, given, why);
        return false;
    }
    snprintf(out->token, sizeof(out->token), "%s", token ? token : "");
    return set_address(command, slice_str(given), &a, out);
}

/* The configuration's: rather a unix socket than one that needs a token. */
static bool take_configured(const char *command, const struct snapshot *s, const char *path,
                            struct remote_address *out)
{
    const struct gateway_conf *conf = &s->gateway;
    const struct admin_conf *found = NULL;
    for (uint32_t i = 0; i < conf->admin_count; i++)
        if (conf->admin[i].address.kind != ADDRESS_FD &&
            (!found || conf->admin[i].address.kind == ADDRESS_UNIX))
            found = &conf->admin[i];
    if (!found) {
        fprintf(stderr,
                "sluice %s: %s says no address to reach the gateway at\n"
                "    hint: gateway { admin unix:/run/sluice/admin.sock }, or --admin ADDRESS\n",
                command, path);
        return false;
    }
    snprintf(out->token, sizeof(out->token), SLICE_FMT, SLICE_ARG(found->token));
    return set_address(command, found->text, &found->address, out);
}

bool cli_find_gateway(const struct cli_args *args, struct remote_address *address)
{
    const char *given = cli_args_get(args, "admin"), *command = args->command->name;
    *address = (struct remote_address){0};
    if (given)
        return take_given(command, given, address);
    const char *path = cli_config_path(args);
    struct snapshot *s = path ? cli_load(path) : NULL;
    if (!s)
        return false;
    bool ok = take_configured(command, s, path, address);
    snapshot_unref(s);
    return ok;
}

/* ---- asking it ---- */

static void complain(const char *command, const struct remote_address *address,
                     const struct remote_answer *answer)
{
    if (answer->error == -ENOENT || answer->error == -ECONNREFUSED)
        fprintf(stderr, "sluice %s: no gateway is running at %s\n", command, address->text);
    else if (answer->error == -EACCES || answer->error == -EPERM)
        fprintf(stderr,
                "sluice %s: %s: permission denied\n"
                "    hint: the socket is for the user who started the gateway\n",
                command, address->text);
    else
        fprintf(stderr, "sluice %s: %s: %s (%s)\n", command, address->text, answer->what,
                strerror(-answer->error));
}

json_t *cli_take_answer(const char *command, const struct remote_address *address,
                        const struct remote_answer *answer)
{
    json_error_t error;
    if (answer->error) {
        complain(command, address, answer);
        return NULL;
    }
    json_t *json = json_loadb(answer->body.p, answer->body.n, 0, &error);
    if (answer->status / 100 == 2 && json)
        return json;
    const char *why = json_text_at(json, "error");
    if (answer->status == 401)
        fprintf(stderr,
                "sluice %s: %s wants another token\n    hint: it is taken from SLUICE_TOKEN\n",
                command, address->text);
    else if (*why)
        fprintf(stderr, "sluice %s: %s%s", command, why, why[strlen(why) - 1] == '\n' ? "" : "\n");
    else
        fprintf(stderr, "sluice %s: %s answered %u, and no JSON\n", command, address->text,
                answer->status);
    json_decref(json);
    return NULL;
}

struct question {
    struct loop loop;
    struct remote_address address;
    const char *command;
    json_t *answer;
};

static void on_answer(void *ctx, const struct remote_answer *answer)
{
    struct question *q = ctx;
    q->answer = cli_take_answer(q->command, &q->address, answer);
    loop_stop(&q->loop);
}

json_t *cli_ask(const struct cli_args *args, const char *method, const char *path, json_t *body)
{
    struct question q = {.command = args->command->name};
    struct remote remote;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (cli_find_gateway(args, &q.address) && loop_init(&q.loop) == 0) {
        remote_init(&remote, &q.loop, &q.address);
        remote_ask(&remote, method, path, slice_str(text), on_answer, &q);
        loop_run(&q.loop);
        remote_fini(&remote);
        loop_fini(&q.loop);
    }
    free(text);
    return q.answer;
}

static void put_word(struct text *t, const char *word)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *word; word++) {
        unsigned char c = (unsigned char)*word;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (is_plain) {
            text_char(t, *word);
        } else {
            text_char(t, '%');
            text_char(t, digits[c >> 4]);
            text_char(t, digits[c & 15]);
        }
    }
}

void cli_put_path(char *out, const char *start, const char *word, const char *more,
                  const char *last)
{
    struct text t = text_of(out, CLI_PATH_MAX / 2);
    text_put(&t, slice_str(start));
    put_word(&t, word);
    text_put(&t, slice_str(more));
    put_word(&t, last ? last : "");
    *t.p = '\0';
}

/* ---- reading it ---- */

static const json_t *at_path(const json_t *json, const char *path)
{
    char key[64];
    while (json && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof(key), "%.*s", (int)n, path);
        json = json_object_get(json, key);
        path += path[n] ? n + 1 : n;
    }
    return json;
}

uint64_t json_number_at(const json_t *json, const char *path)
{
    return (uint64_t)json_integer_value(at_path(json, path));
}

const char *json_text_at(const json_t *json, const char *path)
{
    const char *text = json_string_value(at_path(json, path));
    return text ? text : "";
}

void json_read_hist(const json_t *latency, struct hist_sum *sum)
{
    size_t i;
    json_t *pair;
    *sum = (struct hist_sum){.count = json_number_at(latency, "count"),
                             .sum_us = json_number_at(latency, "sum_us")};
    json_array_foreach(json_object_get(latency, "buckets"), i, pair)
    {
        const json_t *upper = json_array_get(pair, 0);
        uint64_t us = json_is_null(upper) ? UINT64_MAX : (uint64_t)json_integer_value(upper);
        sum->buckets[hist_bucket(us)] = (uint64_t)json_integer_value(json_array_get(pair, 1));
    }
}
