#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"
#include "main/belljar/serve.h"

#define RUN_DIR "/run/belljar"

static int find_user(struct op *op, const char *name, uid_t *uid, gid_t *gid)
{
    struct passwd *pw = getpwnam(name);
    if (!pw || pw->pw_uid == 0)
        return op_fail(
            op, FAULT_HOST, ENOENT,
            "there is no unprivileged user '%s'; create it: useradd --system --user-group "
            "--no-create-home --shell /usr/sbin/nologin %s",
            name, name);
    *uid = pw->pw_uid;
    *gid = pw->pw_gid;
    return 0;
}

/* Makes the directory and every one above it; sets owner and mode of the last. */
static int make_dir(struct op *op, const char *path, uid_t uid, gid_t gid, mode_t mode)
{
    char part[256];
    for (size_t i = 1; path[i - 1] && i < sizeof part; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return op_fail(op, FAULT_HOST, errno, "cannot make %s: %s", part, strerror(errno));
    }
    if (chown(path, uid, gid) < 0 || chmod(path, mode) < 0)
        return op_fail(op, FAULT_HOST, errno, "cannot set the mode of %s: %s", path,
                       strerror(errno));
    return 0;
}

static int make_dirs(struct op *op, const struct serve_host *h)
{
    const struct {
        const char *name;
        uid_t uid;
        gid_t gid;
        mode_t mode;
    } dirs[] = {
        { "", 0, 0, 0711 }, /* the services pass through; nobody lists */
        { "/run", 0, 0, 0711 },
        { "/run/s", 0, 0, 0711 },
        { "/keys", 0, 0, 0700 },
        { "/log", 0, 0, 0700 },
        { "/control", h->control_uid, h->control_gid, 0700 },
        { "/control/files", h->control_uid, h->control_gid, 0700 },
        { "/templates", 0, h->control_gid, 0750 }, /* holds setuid programs: not for others */
    };
    int r = 0;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0] && r == 0; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s%s", h->state, dirs[i].name);
        r = make_dir(op, path, dirs[i].uid, dirs[i].gid, dirs[i].mode);
    }
    return r;
}

/* Copies an executable; one that is there is replaced at once. */
static int copy_program(struct op *op, const char *from, const char *to)
{
    char temp[520];
    struct stat st;
    (void)snprintf(temp, sizeof temp, "%s.new", to);
    CLEANUP(fd_closep) int in = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP(fd_closep) int out = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    bool good = in >= 0 && out >= 0 && fstat(in, &st) == 0;
    for (off_t at = 0; good && at < st.st_size;)
        good = sendfile(out, in, &at, (size_t)(st.st_size - at)) > 0;
    if (!good || fchmod(out, 0755) < 0 || rename(temp, to) < 0)
        return op_fail(op, FAULT_HOST, errno, "cannot copy %s to %s: %s", from, to,
                       strerror(errno));
    return 0;
}

/* What images are unpacked on: places for mounts, the one user who unpacks, and the program that
 * does; an image replaces all of it. */
static int make_image_root(struct op *op, const struct serve_host *h)
{
    static const char *const dirs[] = { "",
                                        "/rootfs",
                                        "/rootfs/dev",
                                        "/rootfs/etc",
                                        "/rootfs/proc",
                                        "/rootfs/root",
                                        "/rootfs/run",
                                        "/rootfs/sys",
                                        "/rootfs/tmp",
                                        "/rootfs/.belljar" };
    static const struct {
        const char *name, *text;
    } files[] = { { "passwd", "root:x:0:0:root:/root:/bin/sh\n" }, { "group", "root:x:0:\n" } };
    char path[512], from[512];
    int r = 0;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && r == 0; i++) {
        (void)snprintf(path, sizeof path, "%s/templates/.image%s", h->state, dirs[i]);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            r = op_fail(op, FAULT_HOST, errno, "cannot make %s: %s", path, strerror(errno));
    }
    (void)snprintf(path, sizeof path, "%s/templates/.image/rootfs/tmp", h->state);
    if (r == 0 && chmod(path, 01777) < 0)
        r = op_fail(op, FAULT_HOST, errno, "cannot set the mode of %s: %s", path, strerror(errno));
    for (size_t i = 0; i < sizeof files / sizeof *files && r == 0; i++) {
        (void)snprintf(path, sizeof path, "%s/templates/.image/rootfs/etc/%s", h->state,
                       files[i].name);
        CLEANUP(file_closep) FILE *f = fopen(path, "we");
        if (!f || fputs(files[i].text, f) < 0)
            r = op_fail(op, FAULT_HOST, errno, "cannot write %s: %s", path, strerror(errno));
    }
    (void)snprintf(from, sizeof from, "%s/belljar-unpack", h->lib);
    (void)snprintf(path, sizeof path, "%s/templates/.image/rootfs/.belljar/unpack", h->state);
    return r < 0 ? r : copy_program(op, from, path);
}

/* A whole-file write lock; F_GETLK tells others who holds it. The descriptor or a negative errno.
 */
static int lock_file(const char *path)
{
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fcntl(fd, F_SETLK, &l) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* Whether somebody holds it, and who: 0 when it is a process of another pid namespace. */
static bool is_locked(int fd, pid_t *by)
{
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    bool is_held = fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
    *by = is_held && l.l_pid > 0 ? l.l_pid : 0;
    return is_held;
}

pid_t serve_running(const char *state)
{
    char path[256];
    pid_t by = 0;
    (void)snprintf(path, sizeof path, "%s/lock", state);
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd >= 0 && is_locked(fd, &by) ? by : 0;
}

static void place_path(unsigned n, char out[64])
{
    (void)snprintf(out, 64, RUN_DIR "/instance-%u.lock", n);
}

int serve_places(struct serve_place out[SERVE_PLACES])
{
    int free = 0;
    for (unsigned n = 0; n < SERVE_PLACES; n++) {
        char path[64];
        struct serve_place *p = &out[n];
        *p = (struct serve_place){ 0 };
        place_path(n, path);
        CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            return -errno;
        p->is_taken = fd >= 0 && is_locked(fd, &p->pid);
        if (!p->is_taken) {
            free++;
            continue;
        }
        ssize_t size = pread(fd, p->state, sizeof p->state - 1, 0);
        p->state[size > 0 ? size : 0] = '\0';
    }
    return free;
}

static int lock_instance(struct serve_host *h, unsigned n)
{
    char path[64];
    place_path(n, path);
    int fd = lock_file(path);
    if (fd < 0)
        return fd;
    /* whose it is, for those who look; what is there of an earlier one may be longer */
    if (ftruncate(fd, 0) < 0 || pwrite(fd, h->state, strlen(h->state), 0) < 0)
        log_warn("cannot write %s: %s", path, strerror(errno));
    h->instance = n;
    h->instance_fd = fd;
    return 0;
}

/* The number this state directory had before (its sandboxes may be alive under it), else a free
 * one. Names of network devices, cgroups and uid ranges follow from it. */
static int take_instance(struct op *op, struct serve_host *h)
{
    char path[256], text[16] = "";
    (void)snprintf(path, sizeof path, "%s/instance", h->state);
    int r = make_dir(op, RUN_DIR, 0, 0, 0755);
    if (r < 0)
        return r;
    CLEANUP(file_closep) FILE *f = fopen(path, "re");
    uint64_t before = SERVE_PLACES;
    if (f && fgets(text, sizeof text, f))
        (void)str_to_u64(str_of(text), SERVE_PLACES - 1, &before);
    r = before < SERVE_PLACES ? lock_instance(h, (unsigned)before) : -EAGAIN;
    for (unsigned n = 0; r < 0 && n < SERVE_PLACES; n++)
        r = lock_instance(h, n);
    if (r < 0)
        return op_fail(op, FAULT_HOST, -r,
                       "%d servers run on this host already ('belljar doctor' tells which); it has "
                       "room for no more",
                       SERVE_PLACES);
    CLEANUP(file_closep) FILE *out = fopen(path, "we");
    if (!out || fprintf(out, "%u", h->instance) < 0)
        return op_fail(op, FAULT_HOST, errno, "cannot write %s", path);
    return 0;
}

/* Opens the API key, minting it first when there is none: e2b_ and 40 hex digits. */
static int open_key(struct op *op, struct serve_host *h)
{
    char path[256], temp[272], key[48] = "e2b_";
    uint8_t raw[20];
    (void)snprintf(path, sizeof path, "%s/keys/api.key", h->state);
    (void)snprintf(temp, sizeof temp, "%s.new", path);
    h->key_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (h->key_fd >= 0)
        return 0;
    rand_bytes(raw, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(key + 4 + i * 2, 3, "%02x", raw[i]);
    CLEANUP(fd_closep) int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, key, 44) != 44 || fsync(fd) < 0 || rename(temp, path) < 0)
        return op_fail(op, FAULT_HOST, errno, "cannot write %s: %s", path, strerror(errno));
    h->key_fd = open(path, O_RDONLY | O_CLOEXEC);
    return h->key_fd < 0 ? op_fail(op, FAULT_HOST, errno, "cannot read %s", path) : 0;
}

/* Where the other programs are: beside this one unless configured. */
static int find_lib(struct op *op, struct serve_host *h, const struct config *c)
{
    if (c->lib[0])
        return str_copy(str_of(c->lib), h->lib, sizeof h->lib)
                   ? 0
                   : op_fail(op, FAULT_INVALID, EINVAL, "lib is too long");
    ssize_t n = readlink("/proc/self/exe", h->lib, sizeof h->lib - 1);
    h->lib[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(h->lib, '/');
    if (!slash)
        return op_fail(op, FAULT_HOST, ENOENT, "cannot find the directory of this program");
    *slash = '\0';
    return 0;
}

/* $STATE/env: what a person sources to use the SDKs. Only root reads it: it holds the key. */
static int write_env(struct op *op, const struct serve_host *h, const struct config *c)
{
    char path[256], temp[272], key[64] = "";
    (void)snprintf(path, sizeof path, "%s/env", h->state);
    (void)snprintf(temp, sizeof temp, "%s.new", path);
    if (pread(h->key_fd, key, sizeof key - 1, 0) <= 0)
        return op_fail(op, FAULT_HOST, EIO, "the API key file is empty");
    key[strcspn(key, "\r\n")] = '\0';
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CLEANUP(file_closep) FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        return op_fail(op, FAULT_HOST, errno, "cannot write %s: %s", temp, strerror(errno));
    fprintf(f,
            "export E2B_API_KEY=%s\nexport E2B_API_URL=http://%s:%s\n"
            "export E2B_SANDBOX_URL=http://%s:%s\nexport E2B_DOMAIN=%s\n"
            "export E2B_DOCS_BASE=http://%s:%s/docs\n", /* where `e2b auth login` leads */
            key, c->api_address, c->api_port, c->edge_address, c->edge_port, c->domain,
            c->api_address, c->api_port);
    if (fflush(f) != 0 || rename(temp, path) < 0)
        return op_fail(op, FAULT_HOST, errno, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

int serve_host_init(struct op *op, struct serve_host *h, const struct config *c)
{
    *h = (struct serve_host){ .lock_fd = -1, .instance_fd = -1, .key_fd = -1 };
    char path[256];
    if (geteuid() != 0)
        return op_fail(op, FAULT_HOST, EPERM,
                       "the server must be started as root: it makes namespaces and gives up "
                       "its rights where it can");
    if (c->state[0] != '/' || !str_copy(str_of(c->state), h->state, sizeof h->state))
        return op_fail(op, FAULT_INVALID, EINVAL,
                       "state must be an absolute path of at most 190 bytes");
    int r = find_lib(op, h, c);
    if (r == 0)
        r = find_user(op, c->control_user, &h->control_uid, &h->control_gid);
    if (r == 0)
        r = find_user(op, c->edge_user, &h->edge_uid, &h->edge_gid);
    if (r == 0)
        r = make_dirs(op, h);
    if (r < 0)
        return r;
    (void)snprintf(path, sizeof path, "%s/lock", h->state);
    h->lock_fd = lock_file(path);
    if (h->lock_fd < 0)
        return op_fail(op, FAULT_CONFLICT, -h->lock_fd, "a server runs on %s already (process %d)",
                       h->state, (int)serve_running(h->state));
    r = take_instance(op, h);
    if (r == 0)
        r = make_image_root(op, h);
    if (r == 0)
        r = open_key(op, h);
    if (r == 0)
        r = write_env(op, h, c);
    if (c->network[0])
        (void)snprintf(h->network, sizeof h->network, "%.31s", c->network);
    else
        (void)snprintf(h->network, sizeof h->network, "10.%u.0.0/16", 200 + h->instance);
    return r;
}
