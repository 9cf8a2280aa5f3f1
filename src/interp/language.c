#include "interp/language.h"

#include <string.h>

#define LIB "/usr/local/lib/belljar/"

static const char *const python[] = { "python3", LIB "python/ipykernel_launcher.py", "-f",
                                      "{connection}", NULL };
static const char *const r[] = {
    "R", "--slave", "-e",
    /* as its main(); but the publishing socket blocks when its reader
     * is slow, where it would lose messages */
    "k <- IRkernel:::Kernel$new(connection_file = commandArgs(TRUE)[[1]]);"
    "invisible(pbdZMQ::zmq.setsockopt(k$sockets$iopub,"
    " pbdZMQ::ZMQ.SO()$XPUB_NODROP, 1L)); k$run()",
    "--args", "{connection}", NULL
};
static const char *const javascript[] = { "node", "--no-warnings", LIB "javascript.mjs", NULL };
static const char *const typescript[] = { "node", "--no-warnings", LIB "javascript.mjs",
                                          "--typescript", NULL };
static const char *const java[] = { "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                                    "-cp",  LIB "java",         "Kernel",
                                    NULL };
static const char *const bash[] = { "bash", "--norc", "--noprofile", "--noediting", "-i", NULL };

static const struct language languages[] = {
    { "python", LANGUAGE_JUPYTER, python, .by_signal = true,
      .set_env = "__import__('os').environ[%1] = %2\n",
      .unset_env = "__import__('os').environ.pop(%1, None)\n" },
    { "javascript", LANGUAGE_ADAPTER, javascript, .is_raw = true, .needs_cwd = true },
    { "typescript", LANGUAGE_ADAPTER, typescript, .is_raw = true, .needs_cwd = true },
    { "r", LANGUAGE_JUPYTER, r, .is_raw = true, .by_signal = true, .needs_cwd = true,
      .set_env = "invisible(do.call(Sys.setenv, setNames(list(%2), %1)))\n",
      .unset_env = "invisible(Sys.unsetenv(%1))\n" },
    { "bash", LANGUAGE_SHELL, bash, .is_raw = true, .by_signal = true, .needs_cwd = true,
      .set_env = "export %1=%2\n", .unset_env = "unset %1\n" },
    { "java", LANGUAGE_ADAPTER, java, .is_raw = true, .needs_cwd = true },
};

static const struct {
    const char *alias, *name;
} aliases[] = { { "", "python" },        { "js", "javascript" }, { "ts", "typescript" },
                { "python3", "python" }, { "py", "python" },     { "sh", "bash" } };

const char *const languages_ahead[] = { "python", "javascript", NULL };

const struct language *language_find(struct str name)
{
    name = str_trim(name);
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (str_ieq(name, str_of(aliases[i].alias)))
            name = str_of(aliases[i].name);
    for (size_t i = 0; i < sizeof languages / sizeof languages[0]; i++)
        if (str_ieq(name, str_of(languages[i].name)))
            return &languages[i];
    return NULL;
}

void language_put_word(struct buf *b, struct str s)
{
    (void)buf_append(b, STR("$'"));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\'' || c == '\\')
            (void)buf_printf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)buf_printf(b, "\\%03o", c);
        else
            (void)buf_byte(b, (char)c);
    }
    (void)buf_byte(b, '\'');
}

/* A string literal of Python and of R. */
static void put_literal(struct buf *b, struct str s)
{
    (void)buf_byte(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            (void)buf_printf(b, "\\%c", c);
        else if (c < 0x20)
            (void)buf_printf(b, "\\x%02x", c);
        else
            (void)buf_byte(b, (char)c);
    }
    (void)buf_byte(b, '"');
}

bool language_is_env_name(const char *name) { return name[0] && !strchr(name, '='); }

/* In bash a name is not a word; one that is none would be code. */
static bool is_name(const char *s)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    return s[0] && strchr(first, s[0]) &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") ==
               strlen(s);
}

static void put_statement(struct buf *b, const struct language *l, const char *pattern,
                          const char *name, const char *value)
{
    bool shell = l->kind == LANGUAGE_SHELL;
    if (shell ? !is_name(name) : !language_is_env_name(name))
        return;
    for (const char *p = pattern; *p; p++) {
        if (*p != '%') {
            (void)buf_byte(b, *p);
            continue;
        }
        const char *what = *++p == '1' ? name : value;
        if (!shell)
            put_literal(b, str_of(what));
        else if (what == name)
            (void)buf_append(b, str_of(name));
        else
            language_put_word(b, str_of(what));
    }
}

void language_put_env(struct buf *b, const struct language *l, const json_t *set,
                      const json_t *unset)
{
    const char *name;
    json_t *value;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)set, name, value)
        put_statement(b, l, l->set_env, name, json_string_value(value));
    json_array_foreach(unset, i, value)
        put_statement(b, l, l->unset_env, json_string_value(value), "");
}
