/* What an image lacks is installed by its own package manager: the command lines, with programs in
 * their place that say how they were called. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "recipe/recipe.h"

#define ALL "sudo curl git ss pgrep bash useradd"

static char dir[] = "/tmp/test-provision-XXXXXX";

static void program(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/bin/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", text);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

/* A program that is `name`, whose help has `help`, and which ends with `status`. */
static void manager(const char *name, const char *help, int status)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "case \"$*\" in *--help*) echo 'usage: %s'; exit 1;; esac\n"
                   "echo \"%s $*\" >>%s/called; echo 'no such host'; exit %d",
                   help, name, dir, status);
    program(name, text);
}

/* Absolute names are below `dir`: this runs on the machine that tests. */
static void put_script(struct buf *b)
{
    static const char *const places[] = { "/.provision", "/var/", "/etc/" };
    for (const char *p = recipe_provision(); *p; p++) {
        for (size_t i = 0; i < 3; i++)
            if (strncmp(p, places[i], strlen(places[i])) == 0)
                (void)buf_append(b, str_of(dir));
        (void)buf_byte(b, *p);
    }
}

/* Runs it; what it and the programs said. */
static void run(int status, const char *want)
{
    char command[256], text[2048] = "";
    struct buf b;
    buf_init(&b, 0);
    put_script(&b);
    (void)snprintf(command, sizeof command, "%s/script", dir);
    FILE *f = fopen(command, "we");
    assert_non_null(f);
    fputs(buf_cstr(&b), f);
    assert_int_equal(fclose(f), 0);
    buf_deinit(&b);
    (void)snprintf(command, sizeof command,
                   "cd %s; rm -f called; PATH=%s/bin /bin/sh script >said 2>&1; r=$?; cat said; "
                   "cat called 2>/dev/null; exit $r",
                   dir, dir);
    f = popen(command, "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) < sizeof text - 1);
    assert_int_equal(pclose(f), status << 8);
    assert_string_equal(text, want);
}

static void clear(const char *names)
{
    char command[256];
    (void)snprintf(command, sizeof command, "cd %s/bin && rm -f %s", dir, names);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    char command[256];
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(command, sizeof command,
                   "cd %s && mkdir bin var etc && for p in grep tail rm; do "
                   "ln -s $(command -v $p) bin; done",
                   dir);
    return system(command);
}

static int tear_down(void **state)
{
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void red_hat(void **state)
{
    (void)state;
#define RPM "sudo curl git iproute procps-ng bash shadow-utils ca-certificates"
    manager("yum", "", 0);
    run(0, "installing " RPM "\nyum install -y --setopt=timeout=15 --setopt=retries=1 " RPM
           "\nyum clean all\n");
    manager("microdnf", "", 0);
    run(0, "installing " RPM "\nmicrodnf install -y --setopt=install_weak_deps=0 " RPM
           "\nmicrodnf clean all\n");
    manager("dnf", "", 0);
    run(0, "installing " RPM "\ndnf install -y --setopt=timeout=15 --setopt=retries=1 "
           "--allowerasing --setopt=install_weak_deps=False " RPM "\ndnf clean all\n");
    clear("yum microdnf dnf");
}

static void alpine(void **state)
{
    (void)state;
#define APK "sudo curl git iproute2 procps bash shadow ca-certificates"
    manager("apk", "--timeout TIME", 0);
    run(0, "installing " APK "\napk add --no-cache -q --timeout 15 " APK "\n");
    manager("apk", "--wait TIME", 0);
    run(0, "installing " APK "\napk add --no-cache -q " APK "\n");
    clear("apk");
}

static void arch(void **state)
{
    (void)state;
#define PAC "sudo curl git iproute2 procps-ng bash shadow ca-certificates"
    manager("pacman", "  --disable-sandbox", 0);
    run(0, "installing " PAC "\npacman -Syu --noconfirm --needed --disable-sandbox " PAC "\n");
    manager("pacman", "", 0);
    run(0, "installing " PAC "\npacman -Syu --noconfirm --needed " PAC "\n");
    clear("pacman");
}

/* One that is there is not installed, a failure says what is lacking and keeps its status. */
static void others(void **state)
{
    (void)state;
    run(1, "it lacks " ALL " certs, and has no package manager that is known\n");
    program("sudo", "");
    program("bash", "");
    manager("apk", "", 99);
    run(99, "installing curl git iproute2 procps shadow ca-certificates\nno such host\n"
            "it lacks curl git ss pgrep useradd certs, and they could not be installed\n"
            "apk add --no-cache -q curl git iproute2 procps shadow ca-certificates\n");
    clear("apk");
    static const char *const rest[] = { "curl", "git", "ss", "pgrep", "useradd" };
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        program(rest[i], "");
    run(1, "it lacks certs, and has no package manager that is known\n");
    char command[128];
    (void)snprintf(command, sizeof command, "cd %s/etc && mkdir ssl && echo x >ssl/cert.pem", dir);
    assert_int_equal(system(command), 0);
    run(0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(red_hat), cmocka_unit_test(alpine),
                                        cmocka_unit_test(arch), cmocka_unit_test(others) };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
