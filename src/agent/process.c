#include "agent/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/env.h"
#include "agent/pty.h"
#include "agent/spawn.h"
#include "base/cleanup.h"
#include "gen/limits.h"

static void process_free(struct process *p)
{
    process_output_close(p);
    process_input_drop(p);
    loop_timer_cancel(&p->timer);
    p->agent->ended_count -= p->ended;
    list_remove(&p->link);
    arena_deinit(&p->mem);
    free((char *)(uintptr_t)p->tag.p);
    free(p);
}

static void on_kept_long_enough(struct loop_timer *t) { process_free(t->data); }

static void on_expired(struct loop_timer *t) { (void)process_signal(t->data, SIGKILL); }

void process_expire_after(struct process *p, int64_t ms)
{
    p->timer.fn = on_expired;
    (void)loop_timer_start(p->agent->loop, &p->timer, ms);
}

/* -- what is asked for, copied into the process's own memory -- */

static bool keep_str(struct arena *a, struct str *s)
{
    char *p = arena_str(a, *s);
    s->p = p;
    return p != NULL;
}

static bool keep_config(struct process *p, const struct schema_start *req)
{
    struct arena *a = &p->mem;
    struct schema_config *c = &p->config;
    *c = *req->process;
    p->tag = str_make(str_dup(req->tag), req->tag.n); /* outlives the rest */
    p->has_tag = req->has_tag;
    struct str *args = arena_alloc(a, c->args.count * sizeof *args);
    struct message_pair *envs = arena_alloc(a, c->envs.count * sizeof *envs);
    if (!args || !envs || !keep_str(a, &c->cmd) || !keep_str(a, &c->cwd) || !p->tag.p)
        return false;
    for (uint32_t i = 0; i < c->args.count; i++) {
        args[i] = ((struct str *)c->args.at)[i];
        if (!keep_str(a, &args[i]))
            return false;
    }
    for (uint32_t i = 0; i < c->envs.count; i++) {
        envs[i] = ((struct message_pair *)c->envs.at)[i];
        if (!keep_str(a, &envs[i].key) || !keep_str(a, &envs[i].value))
            return false;
    }
    c->args.at = args;
    c->envs.at = envs;
    return true;
}

static struct process *process_new(struct agent *a, const struct schema_start *req)
{
    struct process *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct process){
        .agent = a, .serial = ++a->process_serial, .input = -1, .is_pty = req->pty != NULL
    };
    arena_init(&p->mem, 0);
    list_init(&p->link);
    list_init(&p->subs);
    list_init(&p->inputs);
    p->timer = (struct loop_timer){ .fn = on_kept_long_enough, .data = p };
    for (int i = 0; i < PROCESS_STREAMS; i++)
        p->streams[i].fd = -1;
    if (keep_config(p, req))
        return p;
    process_free(p);
    return NULL;
}

/* -- descriptors -- */

struct ends { /* ours and the child's */
    int ours[3], childs[3];
};

static void ends_close(struct ends *e)
{
    for (int i = 0; i < 3; i++) {
        fd_closep(&e->ours[i]);
        fd_closep(&e->childs[i]);
    }
}

static int set_nonblock(int fd) { return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0; }

/* Only our end is non-blocking: many programs cannot cope with EAGAIN. */
static int open_pipe(struct ends *e, int which)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    e->ours[which] = fds[which == 0];
    e->childs[which] = fds[which != 0];
    return set_nonblock(e->ours[which]);
}

/* Another user must be able to reopen its own output by /dev/stdout and /proc/self/fd. */
static void give_to(const struct ends *e, const struct user *u)
{
    int failed = 0; /* then only the reopening does not work */
    for (int i = 0; u->uid != 0 && i < 3; i++)
        if (e->ours[i] >= 0)
            failed |= fchown(e->childs[i], u->uid, u->gid);
    (void)failed;
}

static int open_pipes(struct ends *e, bool with_input, const struct user *u)
{
    int r = open_pipe(e, 1);
    r = r ? r : open_pipe(e, 2);
    if (!r && with_input) {
        r = open_pipe(e, 0);
    } else if (!r) {
        e->childs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        r = e->childs[0] < 0 ? -errno : 0;
    }
    give_to(e, u);
    return r;
}

static int open_terminal(struct ends *e, const struct schema_pty *pty, const struct user *u)
{
    int slave = -1;
    int r = pty_open(pty->size, u->uid, &e->ours[1], &slave);
    if (r)
        return r;
    e->childs[0] = slave;
    e->childs[1] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
    e->childs[2] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
    /* a second number for writing: epoll knows a descriptor by its number, and both are watched */
    e->ours[0] = fcntl(e->ours[1], F_DUPFD_CLOEXEC, 3);
    return e->childs[1] < 0 || e->childs[2] < 0 || e->ours[0] < 0 ? -errno : 0;
}

/* -- starting -- */

static int refuse(enum connect_code *code, enum connect_code is, char why[512], const char *what,
                  struct str subject, int err)
{
    *code = is;
    if (err)
        (void)snprintf(why, 512, "%s '%.*s': %s", what, (int)(subject.n < 300 ? subject.n : 300),
                       subject.p, strerror(err));
    else
        (void)snprintf(why, 512, "%s", what);
    return PROCESS_REFUSED;
}

static char **make_argv(struct process *p)
{
    const struct schema_config *c = &p->config;
    char **argv = arena_alloc(&p->mem, (c->args.count + 2) * sizeof *argv);
    if (!argv)
        return NULL;
    argv[0] = (char *)(uintptr_t)c->cmd.p;
    for (uint32_t i = 0; i < c->args.count; i++)
        argv[i + 1] = (char *)(uintptr_t)((struct str *)c->args.at)[i].p;
    return argv;
}

static int run(struct process *p, const struct user *user, const char *cwd, struct ends *e,
               struct spawn_failure *why)
{
    struct arena mem; /* environment and candidates are not needed once it runs */
    arena_init(&mem, 0);
    struct env env;
    int r = -ENOMEM;
    struct spawn_spec spec = { .argv = make_argv(p),
                               .cwd = cwd,
                               .user = user,
                               .fds = { e->childs[0], e->childs[1], e->childs[2] },
                               .tty = p->is_pty,
                               .files = p->agent->files,
                               .cgroup_fds = p->agent->cgroup_fds };
    env_init(&env, &mem);
    if (spec.argv && env_fill(&env, &p->agent->identity, user, &p->config.envs)) {
        spec.envp = env_array(&env);
        spec.paths = env_candidates(&env, p->config.cmd);
        if (spec.envp && spec.paths)
            r = spawn_start(&spec, why);
    }
    env_deinit(&env);
    arena_deinit(&mem);
    return r;
}

static int attach(struct process *p, struct ends *e)
{
    int r = process_output_open(p, PROCESS_OUT, TAKE_FD(e->ours[1]));
    if (!r && e->ours[2] >= 0)
        r = process_output_open(p, PROCESS_ERR, TAKE_FD(e->ours[2]));
    p->input = TAKE_FD(e->ours[0]);
    return r;
}

/* A pid that comes again belongs to the new process; and only so many ended ones are kept. */
static void forget_ended(struct agent *a, pid_t pid)
{
    LIST_EACH_SAFE(it, &a->ended) {
        struct process *old = LIST_OF(it, struct process, link);
        if (old->pid == pid || a->ended_count >= LIMIT_PROCESSES_KEPT)
            process_free(old);
    }
}

/* "/bin/bash -l -c make" */
static void journal_start(const struct process *p)
{
    struct buf b;
    buf_init(&b, 0);
    (void)buf_append(&b, p->config.cmd);
    for (uint32_t i = 0; i < p->config.args.count && buf_used(&b) <= LIMIT_JOURNAL_TEXT_SIZE; i++) {
        (void)buf_byte(&b, ' ');
        (void)buf_append(&b, ((const struct str *)p->config.args.at)[i]);
    }
    journal_add(&p->agent->journal, JOURNAL_START, p->pid, buf_str(&b));
    buf_deinit(&b);
}

int process_start(struct agent *a, const struct schema_start *req, const struct user *user,
                  struct str cwd, struct process **out, enum connect_code *code, char why[512])
{
    struct stat st;
    if (stat(cwd.p, &st) < 0) {
        *code = CONNECT_INVALID_ARGUMENT;
        (void)snprintf(why, 512, "cwd '%.400s' does not exist", cwd.p);
        return PROCESS_REFUSED;
    }
    if (a->process_count >= LIMIT_AGENT_PROCESSES)
        return refuse(code, CONNECT_RESOURCE_EXHAUSTED, why, "too many processes are running",
                      STR(""), 0);
    struct process *p = process_new(a, req);
    if (!p)
        return refuse(code, CONNECT_RESOURCE_EXHAUSTED, why, "out of memory", STR(""), 0);
    struct ends e = { { -1, -1, -1 }, { -1, -1, -1 } };
    struct spawn_failure failure = { "pipe", 0 };
    int r = req->pty ? open_terminal(&e, req->pty, user)
                     : open_pipes(&e, !req->has_stdin || req->stdin_open, user);
    if (r == 0)
        r = run(p, user, cwd.p, &e, &failure);
    if (r > 0) {
        forget_ended(a, r);
        p->pid = r;
        list_push(&a->processes, &p->link);
        a->process_count++;
        journal_start(p);
        r = attach(p, &e);
        *out = p;
    }
    ends_close(&e);
    if (p->pid && r < 0)
        (void)process_signal(p, SIGKILL); /* runs, but cannot be heard */
    if (p->pid)
        return PROCESS_STARTED;
    struct str cmd = p->config.cmd;
    bool full = r == -EAGAIN || r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -ENOSPC;
    r = refuse(code, full ? CONNECT_RESOURCE_EXHAUSTED : CONNECT_INVALID_ARGUMENT, why,
               "error starting process", cmd, -r);
    process_free(p);
    return r;
}

/* -- the end -- */

void process_check_end(struct process *p)
{
    if (p->ended)
        return;
    if (!p->reaped && process_output_is_over(p)) {
        /* both pipes are closed: it is likely dead already, its SIGCHLD not yet read */
        p->reaped = waitpid(p->pid, &p->status, WNOHANG) == p->pid;
    }
    if (!p->reaped || !process_output_is_over(p))
        return;
    p->ended = true;
    p->agent->process_count--;
    p->agent->ended_count++;
    list_remove(&p->link);
    list_push(&p->agent->ended, &p->link);
    process_input_drop(p);
    process_output_end(p);
    arena_deinit(&p->mem);
    p->config = (struct schema_config){ 0 };
    loop_timer_cancel(&p->timer);
    p->timer.fn = on_kept_long_enough;
    (void)loop_timer_start(p->agent->loop, &p->timer, LIMIT_PROCESS_KEPT_MS);
    if (p->on_end)
        p->on_end(p);
}

static void reaped(struct agent *a, pid_t pid, int status)
{
    LIST_EACH(it, &a->processes) {
        struct process *p = LIST_OF(it, struct process, link);
        if (p->pid != pid || p->reaped)
            continue;
        p->reaped = true;
        p->status = status;
        process_output_pump(p);
        return;
    }
}

void process_reap(struct agent *a)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        reaped(a, pid, status);
}

int process_signal(struct process *p, int signal)
{
    p->cancelled = true;
    if (!p->reaped)
        return kill(p->pid, signal) < 0 ? -errno : 0;
    process_output_pump(p); /* it waited only for those who hold its pipes */
    return -ESRCH;
}

static bool is_selected(const struct process *p, const struct schema_selector *sel)
{
    return sel->has_pid ? p->pid == (pid_t)sel->pid : p->has_tag && str_eq(p->tag, sel->tag);
}

struct process *process_find(struct agent *a, const struct schema_selector *sel, bool alive)
{
    struct process *found = NULL;
    LIST_EACH(it, &a->processes)
        if (is_selected(LIST_OF(it, struct process, link), sel))
            return LIST_OF(it, struct process, link);
    if (!alive)
        LIST_EACH(it, &a->ended) /* the newest of a tag */
            if (is_selected(LIST_OF(it, struct process, link), sel))
                found = LIST_OF(it, struct process, link);
    return found;
}

struct process *process_by_serial(struct agent *a, uint64_t serial)
{
    LIST_EACH(it, &a->processes) {
        struct process *p = LIST_OF(it, struct process, link);
        if (p->serial == serial)
            return p;
    }
    return NULL;
}
