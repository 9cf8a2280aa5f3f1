/* Builds from Dockerfiles: what is taken from the directory, what sandboxes then have, what is said
 * of mistakes. */
#include "check.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64]; /* the directory of the builds */
static char logged[1 << 16];

static void on_log(void *data, const char *level, const char *line)
{
    size_t n = strlen(logged);
    (void)data;
    (void)snprintf(logged + n, sizeof logged - n, "%s %s\n", level, line);
}

static char *path_of(const char *name)
{
    static char path[2][4096];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

static void put_dir(const char *name)
{
    if (mkdir(path_of(name), 0755) < 0 && errno != EEXIST)
        abort();
}

/* Names are of this process, so that two runs do not meet. */
static const char *named(const char *name)
{
    static char full[64];
    (void)snprintf(full, sizeof full, "c-build-%s-%d", name, (int)getpid());
    return full;
}

static char *build(const char *name, const char *dockerfile, struct belljar_build_options o)
{
    logged[0] = '\0';
    o.name = name;
    o.context = o.context ? o.context : dir;
    o.cpus = 1;
    o.memory_mb = 256;
    o.on_log = on_log;
    return belljar_build(b, dockerfile, &o);
}
#define BUILD(name, dockerfile, ...)                                                               \
    build(name, dockerfile, (struct belljar_build_options){ __VA_ARGS__ })

static void drop(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/templates/%s", name);
    free(belljar_request(b, "DELETE", path, NULL, NULL));
}

/* What a command prints in a new sandbox of the template. */
static char *in_sandbox(const char *name, const char *command)
{
    struct belljar_sandbox *s = belljar_create(b, &(struct belljar_create_options){ .from = name });
    struct belljar_result r = { 0 };
    char *out = NULL;
    if (CHECK(s) && CHECK(belljar_run(s, command, NULL, &r) == 0))
        out = strdup(r.out);
    belljar_result_free(&r);
    if (s)
        CHECK(belljar_kill(s) == 0);
    belljar_sandbox_free(s);
    return out;
}

#define SEE(name, command, want)                                                                   \
    do {                                                                                           \
        char *seen_ = in_sandbox(name, command);                                                   \
        CHECK_TEXT(seen_, want);                                                                   \
        free(seen_);                                                                               \
    } while (0)

static const char everything[] =
    "# escape=\\\n"
    "ARG BASE=nothing\n"
    "FROM $BASE AS it\n"
    "LABEL a=b\n"
    "ARG WHO=you GREETING=\"hello  $WHO\"\n"
    "ENV PATH=/opt/a:$PATH HIDDEN='$HOME'\n"
    "\n"
    "WORKDIR /srv/app\n"
    "RUN mkdir -p /opt/a && echo \"$PATH|$HIDDEN|$GREETING|$(id -un)|$PWD\" > /srv/1 \\\n"
    "    # a comment\n"
    "    && echo 'two  blanks' >> /srv/1\n"
    "ENV PATH=/opt/b:$PATH\n"
    "RUN [\"sh\", \"-c\", \"echo \\\"$0 it's\\\" $PATH > /srv/2\", \"a b\"]\n"
    "RUN <<EOF\n"
    "cat <<INNER > /srv/3\n"
    "inner $GREETING\n"
    "INNER\n"
    "EOF\n"
    "RUN <<EOF\n"
    "#!/usr/bin/env python3\n"
    "open('/srv/4', 'w').write('python')\n"
    "EOF\n"
    "COPY --chown=user:user --chmod=640 one.txt sub/two.txt many/\n"
    "COPY sub ./whole\n"
    "COPY *.txt \"with blank/\"\n"
    "COPY one.txt renamed\n"
    "COPY s*b/d* flat/\n"
    "COPY <<config.ini <<'RAW' conf/\n"
    "who=$WHO\n"
    "config.ini\n"
    "raw=$WHO\n"
    "RAW\n"
    "COPY linked here\n"
    "EXPOSE 80\n"
    "USER user\n"
    "CMD [\"sh\", \"-c\", \"echo started $HIDDEN > /tmp/started; exec sleep 1000\"]\n";

static void test_everything(void)
{
    const struct belljar_pair args[] = { { "BASE", "base" }, { "WHO", "me" }, { NULL, NULL } };
    char name[64];
    (void)snprintf(name, sizeof name, "%s", named("all"));
    put_file("one.txt", "1");
    put_dir("sub");
    put_file("sub/two.txt", "2");
    put_dir("sub/deep");
    put_file("sub/deep/three", "3");
    put_file("sub/left.out", "x");
    put_file(".dockerignore", "# some\n**/*.out\nother\n");
    if (symlink("two.txt", path_of("sub/link")) < 0 || symlink("sub", path_of("linked")) < 0)
        abort();
    char *id = BUILD(name, everything, .args = args, .ready = "test -s /tmp/started");
    CHECK(id);
    CHECK_HAS(logged, "warn Dockerfile:4: LABEL is ignored");
    SEE(name, "cat /srv/1 /srv/2 /srv/3 /srv/4; pwd; id -un; cat /tmp/started",
        "/opt/a:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|$HOME|hello  me|root|"
        "/srv/app\ntwo  blanks\na b it's /opt/b:/opt/a:/usr/local/sbin:/usr/local/bin:/usr/sbin:"
        "/usr/bin:/sbin:/bin\ninner hello  me\npython/srv/app\nuser\nstarted $HOME\n");
    SEE(name,
        "cd /srv/app; stat -c '%n %U:%G %a' many/*; find whole flat here with* conf renamed | sort",
        "many/one.txt user:user 640\nmany/two.txt user:user 640\n"
        "conf\nconf/RAW\nconf/config.ini\nflat\nflat/three\nhere\nhere/deep\nhere/deep/three\n"
        "here/link\nhere/two.txt\nrenamed\nwhole\nwhole/deep\nwhole/deep/three\nwhole/link\n"
        "whole/two.txt\nwith blank\nwith blank/one.txt\n");
    SEE(name, "cd /srv/app; cat conf/*; readlink whole/link", "raw=$WHO\nwho=me\ntwo.txt\n");

    char *again = BUILD(name, everything, .args = args, .ready = "test -s /tmp/started");
    CHECK_TEXT(again, id);
    CHECK(!strstr(logged, "uploaded"));
    CHECK_HAS(logged, "CACHED [builder ");
    put_file("sub/deep/three", named("three")); /* uploads outlive tests */
    free(again);
    again = BUILD(name, everything, .args = args, .ready = "test -s /tmp/started");
    CHECK_HAS(logged, "Dockerfile:24: ");
    CHECK_HAS(logged, " files uploaded");
    SEE(name, "cat /srv/app/whole/deep/three", named("three"));
    free(again);
    free(id);
    drop(name);
}

/* What the directory has decides before the server is asked. */
static void test_sources(void)
{
    static const struct {
        const char *copy, *says;
        int err;
    } cases[] = {
        { "COPY nothing /", "Dockerfile:3: COPY: there is no 'nothing' in /tmp/", ENOENT },
        { "COPY *.none /", "there is no '*.none' in ", ENOENT },
        { "COPY sub/left.out /", ".dockerignore leaves it out", ENOENT },
        { "COPY away /", "'away' is a link that leads out of the build's directory", EXDEV },
        { "COPY away/passwd /", "'away/passwd' is a link that leads out", EXDEV },
        { "COPY aw*/pass* /", "there is no 'aw*/pass*'", ENOENT },
        { "COPY dangling /", "there is no 'dangling'", ENOENT },
        { "COPY pipe /", "'pipe' is neither a file nor a directory", EINVAL },
        { "COPY *.txt /here", "COPY takes 2 files to '/here', which then must end with /",
          ENOTDIR },
        { "COPY a(1).c /here", "is copied into a directory only", EINVAL },
        { "COPY ../x /", "leads out of the build's directory", EINVAL },
    };
    put_file("one.txt", "1");
    put_file("two.txt", "2");
    put_file("a(1).c", "x");
    put_dir("sub");
    put_file("sub/left.out", "x");
    put_file(".dockerignore", "**/*.out\n");
    if (symlink("/etc", path_of("away")) < 0 || symlink("no", path_of("dangling")) < 0 ||
        mkfifo(path_of("pipe"), 0600) < 0)
        abort();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "FROM base\n\n%s\n", cases[i].copy);
        CHECK(!BUILD(named("none"), text, .skips_cache = false));
        CHECK_HAS(belljar_error(b), cases[i].says);
        CHECK(belljar_errno(b) == cases[i].err);
        CHECK(belljar_status(b) == 0);
    }
    CHECK(
        !belljar_build(b, "FROM base\nCOPY a /\n", &(struct belljar_build_options){ .name = "x" }));
    CHECK_HAS(belljar_error(b), "Dockerfile:2: COPY needs a directory to take files from");
    CHECK(!BUILD("x", "FROM base\n", .context = "/no/such"));
    CHECK_HAS(belljar_error(b), "'/no/such' cannot be opened");
    CHECK(!BUILD("x", "FROM base\n", .context = path_of("one.txt")));
    CHECK_HAS(belljar_error(b), "is not a directory");
}

static void test_mistakes(void)
{
    CHECK(!BUILD(named("bad"), "FROM base\nRUN x\nRNU y\n", .file = "e2b.Dockerfile"));
    CHECK_TEXT(belljar_error(b), "e2b.Dockerfile:3: there is no instruction RNU; is RUN meant?");
    CHECK(!BUILD("", "FROM base\n", .file = NULL));
    CHECK_TEXT(belljar_error(b), "a template needs a name");
    CHECK(!BUILD("not a name!", "FROM base\n", .file = NULL));
    CHECK(belljar_status(b) == 400);
    CHECK(!BUILD(named("bad"), "FROM belljar/no-such-template\n", .file = NULL));
    CHECK_HAS(belljar_error(b), "Dockerfile:1: template 'belljar/no-such-template' not found");
}

static void test_failures(void)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s", named("fails"));
    CHECK(!BUILD(name, "FROM base\n\nRUN true\nRUN echo to out; echo to err >&2; \\\n  exit 7\n",
                 .skips_cache = true));
    CHECK_HAS(belljar_error(b), "Dockerfile:4: failed to run command 'echo to out;");
    CHECK_HAS(belljar_error(b), "exit status 7");
    CHECK(belljar_errno(b) == ECANCELED && belljar_status(b) == 0);
    CHECK_HAS(logged, "[stdout]: to out");
    CHECK_HAS(logged, "[stderr]: to err");
    CHECK(!BUILD(name, "FROM base\nRUN true\nCMD exit 3\n", .ready = "false"));
    CHECK_HAS(belljar_error(b), "start command");
    CHECK(!belljar_create(b, &(struct belljar_create_options){ .from = name }));
    CHECK(belljar_status(b) == 404);
}

/* The build of which the log said "Building template T/B". */
static bool find_ids(char template[64], char build[64])
{
    const char *at = strstr(logged, "Building template ");
    return at && sscanf(at, "Building template %63[a-z0-9]/%63[a-z0-9-]", template, build) == 2;
}

static int stop[2];
static void stop_at_sleep(void *data, const char *level, const char *line)
{
    on_log(data, level, line);
    if (strstr(line, "RUN sleep"))
        (void)!write(stop[1], "", 1);
}

static void test_cancel(void)
{
    char name[64], template[64], id[64], byte;
    (void)snprintf(name, sizeof name, "%s", named("cancel"));
    CHECK(pipe(stop) == 0);
    logged[0] = '\0';
    belljar_set_stop(b, stop[0]);
    CHECK(!belljar_build(b, "FROM base\nRUN sleep 600\n",
                         &(struct belljar_build_options){
                             .name = name, .cpus = 1, .memory_mb = 256, .on_log = stop_at_sleep }));
    belljar_set_stop(b, -1);
    CHECK(belljar_errno(b) == ECANCELED && belljar_status(b) == 0);
    CHECK_TEXT(belljar_error(b), "the build was cancelled");
    CHECK(read(stop[0], &byte, 1) == 1 && close(stop[0]) == 0 && close(stop[1]) == 0);
    CHECK(find_ids(template, id) && belljar_build_cancel(b, template, id) == -EBUSY);
    CHECK(belljar_status(b) == 409);
    CHECK(belljar_build_cancel(b, template, "00000000-0000-4000-8000-000000000000") == -ENOENT);
    CHECK(belljar_build_cancel(b, template, "../x") == -EINVAL && belljar_status(b) == 0);
    char *made = BUILD(name, "FROM base\nRUN true\n", .file = NULL);
    CHECK_TEXT(made, template);
    free(made);
    drop(name);
}

/* A package from an index: what most people build a template for. The wheel is made by the first
 * step, and its index served by the second, for sandboxes reach no server of the host. */
static const char pip[] =
    "FROM base\n"
    "COPY <<wheel.py /opt/\n"
    "import os, zipfile\n"
    "i = 'bj_pack-1.0.dist-info'\n"
    "f = {'bj_pack.py': 'text = \"packed\"', i + '/METADATA': 'Name: bj_pack\\\\nVersion: "
    "1.0\\\\n',\n"
    "     i + '/WHEEL': 'Wheel-Version: 1.0\\\\nRoot-Is-Purelib: true\\\\nTag: "
    "py3-none-any\\\\n',\n"
    "     i + '/RECORD': ''}\n"
    "os.makedirs('/opt/simple/bj-pack')\n"
    "with zipfile.ZipFile('/opt/simple/bj-pack/bj_pack-1.0-py3-none-any.whl', 'w') as z:\n"
    "    [z.writestr(n, t) for n, t in f.items()]\n"
    "wheel.py\n"
    "RUN python3 /opt/wheel.py\n"
    "RUN cd /opt && { python3 -m http.server -b 127.0.0.1 8099 >/dev/null 2>&1 & } ; \\\n"
    "    until curl -sf http://127.0.0.1:8099/simple/; do sleep 0.1; done; \\\n"
    "    pip install --no-cache-dir --index-url http://127.0.0.1:8099/simple bj-pack\n";

static void test_pip(void)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s", named("pip"));
    /* not from the cache of an earlier run: what pip says is looked for */
    char *id = BUILD(name, pip, .file = "e2b.Dockerfile", .skips_cache = true);
    CHECK(id);
    CHECK_HAS(logged, "Successfully installed bj");
    SEE(name, "python3 -c 'import bj_pack; print(bj_pack.text)'", "packed\n");
    free(id);
    drop(name);
}

/* Files are neither held in memory nor on the disk unpacked. */
/* As deep as a path can name: the walk may not end with the stack. */
static void test_deep(void)
{
    enum { DEPTH = 2000 };
    char *deep = strdup(path_of("deep"));
    int at = -1, home = open(".", O_PATH | O_DIRECTORY);
    put_dir("deep");
    put_dir("deep/d");
    bool is_made = chdir(path_of("deep/d")) == 0;
    for (int i = 0; is_made && i < DEPTH; i++)
        is_made = mkdir("a", 0755) == 0 && chdir("a") == 0;
    at = open("file", O_WRONLY | O_CREAT, 0600);
    CHECK(is_made && at >= 0 && close(at) == 0 && symlink("file", "link") == 0 &&
          fchdir(home) == 0);
    char *id =
        build(named("deep"), "FROM base\nCOPY d /d/\nRUN test \"$(find /d | wc -l)\" = 2003\n",
              (struct belljar_build_options){ .context = deep });
    CHECK(id);
    free(id);
    free(deep);
    (void)close(home);
}

static void test_large(void)
{
    enum { SIZE = 192 << 20 };
    struct rusage before, after;
    char name[64];
    (void)snprintf(name, sizeof name, "%s", named("large"));
    int fd = open(path_of("large"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, SIZE) < 0 || pwrite(fd, "end", 3, SIZE - 3) != 3 ||
        pwrite(fd, name, strlen(name), 0) < 0 || close(fd) < 0)
        abort();
    (void)getrusage(RUSAGE_SELF, &before);
    char *id = BUILD(name, "FROM base\nCOPY large /srv/large\n", .file = NULL);
    (void)getrusage(RUSAGE_SELF, &after);
    CHECK(id);
    CHECK(after.ru_maxrss - before.ru_maxrss < 32 << 10);
    SEE(name, "stat -c %s /srv/large; tail -c 3 /srv/large", "201326592\nend");
    free(id);
    drop(name);
}

int main(void)
{
    static const struct check tests[] = {
        { "a Dockerfile with everything, again from the cache, and with another file",
          test_everything },
        { "sources that are not there, or lead out of the directory", test_sources },
        { "mistakes are told with their line", test_mistakes },
        { "a step that fails is told with its line and its log", test_failures },
        { "a build that is given up is cancelled, and can be made again", test_cancel },
        { "pip install from an index, and the package imports", test_pip },
        { "a deep tree", test_deep },
        { "a large file takes no memory", test_large },
    };
    char command[256];
    b = belljar_open(NULL);
    (void)snprintf(dir, sizeof dir, "/tmp/belljar-build-XXXXXX");
    if (!b || !mkdtemp(dir))
        return 2;
    int status = 0;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        status |= check_all(&tests[i], 1);
        (void)snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", dir, dir);
        if (system(command) != 0)
            return 2;
    }
    (void)rmdir(dir);
    belljar_close(b);
    return status;
}
