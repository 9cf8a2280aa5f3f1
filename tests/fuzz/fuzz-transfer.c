/* The file that `belljar template import` takes, read as root. Sums would stop every changed input
 * at the door, so here they are all the same: those of the tar's headers are put right, those of
 * the parts are zeros (and e2fsck, which is not ours, says yes). What was unpacked lies in its
 * directory, and nothing elsewhere was touched. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "os/os_ext4.h"
#include "os/os_file.h"
#include "transfer/transfer_internal.h"

/* -- instead of transfer_sum.c and transfer_image.c -- */

void transfer_sum_text(SHA256_CTX *sum, struct str s)
{
    (void)sum;
    (void)s;
}

void transfer_sum_entry(SHA256_CTX *sum, const struct tar_entry *e)
{
    (void)sum;
    (void)e;
}

void transfer_sum_end(SHA256_CTX *sum, char out[TRANSFER_SUM_SIZE])
{
    memset(out, '0', TRANSFER_SUM_SIZE - 1);
    out[TRANSFER_SUM_SIZE - 1] = '\0';
    (void)SHA256_Init(sum);
}

int transfer_image_check(struct op *op, int fd)
{
    (void)op;
    (void)ext4_image_is_clean(fd);
    (void)ext4_image_renew(fd);
    return 0;
}

/* -- the input -- */

static int64_t octal(const char *p, size_t n)
{
    int64_t v = 0;
    for (size_t i = 0; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v * 8 + (p[i] - '0');
    return v;
}

/* The sum of each header, as far as the sizes lead from one to the next. */
static void mend_headers(char *tar, size_t n)
{
    enum { SIZE_AT = 124, SUM_AT = 148 };
    for (size_t at = 0; at + TAR_BLOCK <= n;) {
        char *head = tar + at;
        unsigned sum = 0;
        if (!head[0])
            return;
        memset(head + SUM_AT, ' ', 8);
        for (size_t i = 0; i < TAR_BLOCK; i++)
            sum += (unsigned char)head[i];
        (void)snprintf(head + SUM_AT, 8, "%06o", sum & 0777777);
        int64_t size = octal(head + SIZE_AT, 12);
        if (size > (int64_t)n)
            return;
        at += TAR_BLOCK + (size_t)(size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    }
}

/* -- what is around -- */

static char base[64], state[80];

static void remove_base(void) { (void)file_remove_tree(AT_FDCWD, base); }

static void make_base(void)
{
    char path[128];
    log_init("fuzz", LOG_ERROR);
    (void)snprintf(base, sizeof base, "/dev/shm/belljar-fuzz.XXXXXX");
    assert(mkdtemp(base));
    (void)atexit(remove_base);
    (void)snprintf(state, sizeof state, "%s/state", base);
    static const char *const made[] = { "", "/state", "/state/templates", "/state/layers",
                                        "/outside" };
    for (size_t i = 1; i < sizeof made / sizeof *made; i++) {
        (void)snprintf(path, sizeof path, "%s%s", base, made[i]);
        assert(mkdir(path, 0700) == 0);
    }
    (void)snprintf(path, sizeof path, "%s/outside/file", base);
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert(fd >= 0 && write(fd, "as it was", 9) == 9);
}

/* How many names are in base/`at`; each begins with `start`. With `removes` they are removed. */
static int look(const char *at, const char *start, bool removes)
{
    char path[128];
    int n = 0;
    (void)snprintf(path, sizeof path, "%s%s", base, at);
    CLEANUP(dir_closep) DIR *d = opendir(path);
    assert(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        n++;
        if (strncmp(e->d_name, start, strlen(start)) != 0) {
            fprintf(stderr, "%s/%s\n", path, e->d_name);
            abort();
        }
        if (removes)
            assert(file_remove_tree(dirfd(d), e->d_name) == 0);
    }
    return n;
}

static void check_around(void)
{
    char path[128], text[16] = "";
    struct stat st;
    assert(look("", "", false) == 2 && look("/state", "", false) == 2);
    assert(look("/outside", "file", false) == 1);
    (void)snprintf(path, sizeof path, "%s/outside/file", base);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0600 &&
           st.st_uid == geteuid());
    assert(read(fd, text, sizeof text) == 9 && strcmp(text, "as it was") == 0);
}

static void fuzz_import(struct str in)
{
    static int file = -1;
    struct transfer_import *t = NULL;
    struct op op = { 0 };
    if (file < 0) {
        make_base();
        file = memfd_create("import", MFD_CLOEXEC);
    }
    CLEANUP(freep) char *tar = malloc(in.n);
    assert(file >= 0 && tar);
    memcpy(tar, in.p, in.n);
    mend_headers(tar, in.n);
    assert(ftruncate(file, 0) == 0 && pwrite(file, tar, in.n, 0) == (ssize_t)in.n &&
           lseek(file, 0, SEEK_SET) == 0);
    int r = transfer_read(&op, state, file, &t);
    if (r == 0)
        r = transfer_place(&op, t);
    assert(r == 0 || (op.fault.code != FAULT_NONE && op.fault.text[0]));
    if (r == 0) {
        json_t *v = transfer_record(t);
        assert(json_is_object(json_object_get(v, "config")) && transfer_is_placed(t));
        assert(transfer_name(t) && transfer_bytes(t) == in.n);
        json_decref(v);
    }
    if (t)
        transfer_close(t);
    /* one of each, by their sums */
    assert(look("/state/templates", ".00000000", true) == (r == 0));
    assert(look("/state/layers", "x00000000", true) <= 1);
    check_around();
}

static const struct fuzz_parser parsers[] = { { "import", fuzz_import } };
FUZZ_MAIN(parsers)
