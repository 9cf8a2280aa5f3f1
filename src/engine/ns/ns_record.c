#include "engine/ns/ns_record.h"

#include <fcntl.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "os/os_file.h"

#define NAME "record"
#define TEXT_SIZE 512

int ns_record_save(int dir, const struct ns_record *r)
{
    char text[TEXT_SIZE];
    int n = snprintf(text, sizeof text,
                     "pid=%d\nstart=%llu\nboot_id=%s\nslot=%u\nloop=%u\ninode=%llu\n"
                     "disk=%llu\nwhole=1\n",
                     (int)r->pid, (unsigned long long)r->start_ticks, r->boot_id, r->slot, r->disk,
                     (unsigned long long)r->inode, (unsigned long long)r->disk_bytes);
    if (n < 0 || (size_t)n >= sizeof text)
        return RAISE(-EMSGSIZE);
    /* No rename: a record cut short lacks "whole", and its sandbox has not been let go. */
    return TRACE(file_save(dir, NAME, 0600, str_make(text, (size_t)n)));
}

int ns_record_ready(int dir)
{
    CLEANUP(fd_closep) int fd = openat(dir, NAME, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 || write(fd, "ready=1\n", 8) != 8 ? RAISE(-errno) : 0;
}

int ns_record_load(int dir, struct ns_record *r)
{
    char text[TEXT_SIZE];
    *r = (struct ns_record){ 0 };
    ssize_t n = file_get(dir, NAME, text, sizeof text);
    if (n < 0)
        return (int)n;
    struct str rest = str_make(text, (size_t)n), line, key, value;
    bool ok = true, whole = false;
    uint64_t pid = 0, slot = 0, disk = 0, flag = 0;
    while (rest.n && ok) {
        (void)str_cut(rest, '\n', &line, &rest);
        if (!str_cut(line, '=', &key, &value))
            ok = false;
        else if (str_eq(key, STR("pid")))
            ok = str_to_u64(value, 1u << 22, &pid);
        else if (str_eq(key, STR("start")))
            ok = str_to_u64(value, UINT64_MAX, &r->start_ticks);
        else if (str_eq(key, STR("boot_id")))
            ok = str_copy(value, r->boot_id, sizeof r->boot_id);
        else if (str_eq(key, STR("slot")))
            ok = str_to_u64(value, UINT32_MAX, &slot);
        else if (str_eq(key, STR("loop")))
            ok = str_to_u64(value, UINT32_MAX, &disk);
        else if (str_eq(key, STR("inode")))
            ok = str_to_u64(value, UINT64_MAX, &r->inode);
        else if (str_eq(key, STR("disk")))
            ok = str_to_u64(value, UINT64_MAX, &r->disk_bytes);
        else if (str_eq(key, STR("whole")))
            whole = str_to_u64(value, 1, &flag) && flag == 1;
        else if (str_eq(key, STR("ready")))
            r->ready = str_to_u64(value, 1, &flag) && flag == 1;
    }
    r->pid = (pid_t)pid;
    r->slot = (uint32_t)slot;
    r->disk = (uint32_t)disk;
    return ok && whole && r->pid > 1 ? 0 : -EBADMSG;
}

/* -- marks -- */

static const char *path_of(char out[NS_ID_SIZE + NS_MARK_SIZE], const char *id, const char *mark)
{
    (void)snprintf(out, NS_ID_SIZE + NS_MARK_SIZE, "%s/%s", id, mark);
    return out;
}

int ns_record_mark(const struct ns_host *h, const char *id, const char *mark)
{
    char path[NS_ID_SIZE + NS_MARK_SIZE];
    CLEANUP(fd_closep)
    int fd = openat(h->sandboxes, path_of(path, id, mark),
                    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? RAISE(-errno) : 0;
}

void ns_record_unmark(const struct ns_host *h, const char *id, const char *mark)
{
    char path[NS_ID_SIZE + NS_MARK_SIZE];
    (void)unlinkat(h->sandboxes, path_of(path, id, mark), 0);
}

bool ns_record_unmark_all(const struct ns_host *h, const char *id, const char *prefix)
{
    bool any = false;
    int fd = openat(h->sandboxes, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (str_starts(str_of(e->d_name), str_of(prefix)))
            any |= unlinkat(dirfd(d), e->d_name, 0) == 0;
    return any;
}

bool ns_record_has(const struct ns_host *h, const char *id, const char *mark)
{
    char path[NS_ID_SIZE + NS_MARK_SIZE];
    return faccessat(h->sandboxes, path_of(path, id, mark), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* All that leads from STATE/run/s to the image: names, record, the directory of images. */
int ns_record_promise(const struct ns_host *h, const char *id, const char *mark)
{
    CLEANUP(fd_closep) int dir = openat(h->sandboxes, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(fd_closep) int record = dir < 0 ? -1 : openat(dir, NAME, O_RDONLY | O_CLOEXEC);
    if (record < 0)
        return -errno;
    if (renameat(dir, mark, dir, NS_MARK_PAUSED) < 0)
        return -errno;
    return fsync(record) < 0 || fsync(dir) < 0 || fsync(h->sandboxes) < 0 || fsync(h->disks) < 0
               ? RAISE(-errno)
               : 0;
}
