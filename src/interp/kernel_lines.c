/* Kernels that are spoken to in lines: our adapters (one JSON object a line) and bash. */
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "interp/kernel_internal.h"
#include "interp/line.h"
#include "wire/json.h"

/* Calls `fn` with each whole line of the reply pipe. */
static bool each_line(struct kernel *k, void (*fn)(struct kernel *k, struct str line))
{
    bool goes_on = kernel_pipe_read(&k->reply);
    struct str in = buf_str(&k->reply.in);
    const char *end;
    size_t used = 0, seen = k->reply.searched;
    while (seen < in.n && (end = memchr(in.p + seen, '\n', in.n - seen))) {
        fn(k, str_make(in.p + used, (size_t)(end - in.p) - used));
        seen = used = (size_t)(end - in.p) + 1;
    }
    kernel_pipe_consume(&k->reply, used);
    k->reply.searched = in.n - used;
    return goes_on;
}

static void lines_pause(struct kernel *k, bool paused)
{
    if (k->reply.watch.loop)
        loop_fd_change(&k->reply.watch, paused ? 0 : EPOLLIN);
}

static void lines_close(struct kernel *k) { kernel_pipe_close(&k->reply); }

static void hear(struct loop_fd *w, void (*fn)(struct kernel *k, struct str line))
{
    struct kernel_pipe *p = w->data;
    if (each_line(p->kernel, fn))
        return;
    loop_fd_cancel(w);
    kernel_break(p->kernel, "the end of its answers, or a line too long");
}

static void accepted(struct kernel *k)
{
    if (!k->is_silent)
        kernel_emit(k, &(struct kernel_event){ .kind = KERNEL_COUNT, .count = ++k->count });
}

/* -- adapters -- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void adapter_line(struct kernel *k, struct str line)
{
    json_t *m = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
    const char *type = text_of(m, "type");
    if (strcmp(type, "ready") == 0) {
        kernel_ready(k);
    } else if (strcmp(type, "done") == 0) {
        kernel_done(k);
    } else if (strcmp(type, "result") == 0 && k->is_busy) {
        kernel_drain(k);
        kernel_emit(k,
                    &(struct kernel_event){ .kind = KERNEL_RESULT,
                                            .data = json_object_get(m, "data"),
                                            .is_main = json_is_true(json_object_get(m, "main")) });
    } else if (strcmp(type, "error") == 0 && k->is_busy) {
        kernel_drain(k);
        kernel_emit(k, &(struct kernel_event){ .kind = KERNEL_ERROR,
                                               .name = text_of(m, "name"),
                                               .value = text_of(m, "value"),
                                               .text = str_of(text_of(m, "traceback")) });
    } else {
        log_warn("an adapter said something unknown: %.*s", (int)(line.n < 80 ? line.n : 80),
                 line.p); /* a cell can write there as well, and much */
    }
    json_decref(m);
}

static void on_adapter(struct loop_fd *w, uint32_t events)
{
    (void)events;
    hear(w, adapter_line);
}

static void adapter_drain(struct kernel *k)
{
    if (k->reply.watch.loop)
        (void)each_line(k, adapter_line);
}

static int adapter_open(struct kernel *k)
{
    return TRACE(kernel_pipe_start(k, &k->reply, k->reply.fd, on_adapter));
}

static void adapter_send(struct kernel *k, json_t *m)
{
    (void)line_put_json(&k->request.out, m); /* ASCII: U+2028 ends a line for some readers */
    (void)buf_byte(&k->request.out, '\n');
    json_decref(m);
    kernel_queue_send(k, &k->request);
}

static void adapter_run(struct kernel *k, struct str code, bool silent)
{
    (void)silent;
    accepted(k);
    adapter_send(k, json_pack("{s:s, s:s%}", "op", "run", "code", code.p, code.n));
}

static void adapter_env(struct kernel *k, const json_t *set, const json_t *unset)
{
    adapter_send(k, json_pack("{s:s, s:O?, s:O?}", "op", "env", "set", set, "unset", unset));
}

const struct kernel_wire kernel_adapter = { adapter_open, adapter_run,   adapter_env,
                                            lines_pause,  adapter_drain, lines_close };

/* -- bash -- */

/* Descriptor 199 gets number and status of the cell when the shell is back at its prompt, also
 * after an interrupt. Scripts use 3 to 9 themselves; what one writes to 199 has not this number. */
static void shell_say(struct kernel *k)
{
    (void)buf_printf(&k->request.out, "builtin printf '%%s %%s\\n' %lld \"$?\" >&199\n",
                     (long long)++k->said);
    kernel_queue_send(k, &k->request);
}

static void shell_line(struct kernel *k, struct str line)
{
    char number[24], status[16];
    struct str first, rest;
    (void)snprintf(number, sizeof number, "%lld", (long long)k->said);
    if (!str_cut(line, ' ', &first, &rest) || !str_eq(first, str_of(number)) ||
        !str_copy(rest, status, sizeof status))
        return;
    if (!k->is_ready) {
        kernel_ready(k);
        return;
    }
    if (!k->is_silent && !str_eq(rest, STR("0"))) {
        kernel_drain(k);
        kernel_emit(k, &(struct kernel_event){
                           .kind = KERNEL_ERROR, .name = "", .value = status, .text = STR("") });
    }
    kernel_done(k);
}

static void on_shell(struct loop_fd *w, uint32_t events)
{
    (void)events;
    hear(w, shell_line);
}

static void shell_drain(struct kernel *k) { (void)k; /* it says only that a cell has ended */ }

static int shell_open(struct kernel *k)
{
    /* No prompts, no history: what it reads is not typed by a person. */
    (void)buf_append(&k->request.out, STR("PS1= PS2=; set +H; set +o history\n"
                                          "exec 199>&4 4>&-\n"));
    shell_say(k);
    return TRACE(kernel_pipe_start(k, &k->reply, k->reply.fd, on_shell));
}

static void shell_run(struct kernel *k, struct str code, bool silent)
{
    (void)silent;
    accepted(k);
    (void)buf_append(&k->request.out, STR("eval -- "));
    language_put_word(&k->request.out, code);
    /* its input is not the pipe that the next cells come by */
    (void)buf_append(&k->request.out, STR(" </dev/null\n"));
    shell_say(k);
}

static void shell_env(struct kernel *k, const json_t *set, const json_t *unset)
{
    struct buf code;
    buf_init(&code, 0);
    language_put_env(&code, k->spec.language, set, unset);
    shell_run(k, buf_str(&code), true);
    buf_deinit(&code);
}

const struct kernel_wire kernel_shell = { shell_open,  shell_run,   shell_env,
                                          lines_pause, shell_drain, lines_close };
