/* From a step to a command, and back from its output. */
#include <string.h>

#include "recipe/recipe_internal.h"
#include "wire/json.h"

#define SYSTEM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Makes the user $1 unless there is one. */
#define ENSURE_USER                                                                                \
    "ensure_user() {\n"                                                                            \
    "  id -u \"$1\" >/dev/null 2>&1 && return 0\n"                                                 \
    "  case $1 in '' | -* | *[!a-zA-Z0-9_.-]*)\n"                                                  \
    "    echo \"failed to create user '$1': the name is not valid\" >&2; return 1 ;;\n"            \
    "  esac\n"                                                                                     \
    "  if command -v useradd >/dev/null 2>&1; then\n"                                              \
    "    useradd --create-home --shell /bin/bash \"$1\"\n"                                         \
    "  else\n"                                                                                     \
    "    adduser -D -s /bin/bash \"$1\"\n"                                                         \
    "  fi && return 0\n"                                                                           \
    "  echo \"failed to create user '$1'\" >&2\n"                                                  \
    "  return 1\n"                                                                                 \
    "}\n"
/* The user $1 may become root without a password. */
#define GRANT_SUDO                                                                                 \
    "grant_sudo() {\n"                                                                             \
    "  for g in sudo wheel; do\n"                                                                  \
    "    if grep -q \"^$g:\" /etc/group && ! id -nG \"$1\" | grep -qw $g; then\n"                  \
    "      usermod -aG $g \"$1\" 2>/dev/null || addgroup \"$1\" $g 2>/dev/null || :\n"             \
    "    fi\n"                                                                                     \
    "  done\n"                                                                                     \
    "  [ ! -f /etc/sudoers ] && return 0\n"                                                        \
    "  grep -qsE \"^($1|%sudo|ALL)[[:space:]].*NOPASSWD:[[:space:]]*ALL\" /etc/sudoers "           \
    "/etc/sudoers.d/* && return 0\n"                                                               \
    "  echo \"$1 ALL=(ALL:ALL) NOPASSWD: ALL\" >>/etc/sudoers\n"                                   \
    "}\n"

const char *recipe_prepare(void)
{
    return ENSURE_USER GRANT_SUDO
        "ensure_user user || exit 1\n"
        "[ -d /home/user ] || { mkdir -p /home/user && chown user: /home/user; }\n"
        "if [ ! -x /bin/bash ]; then\n"
        "  command -v apk >/dev/null 2>&1 && apk add --no-cache bash >/dev/null\n"
        "  [ -x /bin/bash ] || { echo 'the image has no /bin/bash' >&2; exit 1; }\n"
        "fi\n"
        "passwd -d user >/dev/null 2>&1 || :\n"
        "grant_sudo user\n";
}

/* Only what is not so already is changed: a change copies a whole file up. */
static const char finish[] = ENSURE_USER GRANT_SUDO
    "ensure_user user || exit 1\n"
    "grant_sudo user\n"
    "h=/home/user\n"
    "mkdir -p $h\n"
    "for f in /etc/skel/.[a-z]*; do\n"
    "  [ ! -f \"$f\" ] || [ -e \"$h/${f##*/}\" ] || cp \"$f\" $h/\n"
    "done\n"
    "find $h ! -user user -exec chown -h user: {} +\n"
    "[ ! -d /usr/local ] || find /usr/local ! -type l ! -perm -777 -exec chmod 777 {} +\n"
    "[ -d /code ] || { mkdir /code && chmod 777 /code; }\n"
    "printf 'ENV_ID=%s\\nTEMPLATE_ID=%s\\nBUILD_ID=%s\\n' $template $template $build >/.e2b\n";

struct str recipe_finish(struct arena *a, const char *template_id, const char *build_id)
{
    return str_of(arena_printf(a, "template=%s\nbuild=%s\n%s", template_id, build_id, finish));
}

/* -- shell words -- */

/* In single quotes: as it is. */
static void put_quoted(struct buf *b, struct str s)
{
    (void)buf_byte(b, '\'');
    for (size_t i = 0; i < s.n; i++)
        (void)buf_append(b, s.p[i] == '\'' ? STR("'\\''") : str_make(s.p + i, 1));
    (void)buf_byte(b, '\'');
}

/* In double quotes, where $VAR and ${VAR} are replaced, and nothing else is special. */
static void put_expanded(struct buf *b, struct str s)
{
    (void)buf_byte(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        bool runs = s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '(';
        if (runs || strchr("\\\"`", s.p[i]))
            (void)buf_byte(b, '\\');
        (void)buf_byte(b, s.p[i]);
    }
    (void)buf_byte(b, '"');
}

static bool is_variable(struct str s) { return memchr(s.p, '$', s.n) != NULL; }

/* The source without what a pattern matches: the directory to take everything of. */
static struct str fixed_part(struct str src, bool *is_pattern)
{
    size_t start = 0;
    *is_pattern = false;
    while (src.n && (src.p[0] == '/' || (src.n > 1 && src.p[0] == '.' && src.p[1] == '/')))
        src = str_skip(src, 1);
    for (size_t i = 0; i < src.n; i++) {
        if (src.p[i] == '/')
            start = i;
        if (strchr("*?[]{}!()", src.p[i])) {
            *is_pattern = true;
            return str_make(src.p, start);
        }
    }
    while (src.n && src.p[src.n - 1] == '/')
        src.n--;
    return str_eq(src, STR(".")) ? STR("") : src;
}

/* -- one step each -- */

static void plan_env(struct buf *b, const struct recipe_step *s)
{
    (void)buf_append(b, STR("printf '%s\\0'"));
    for (uint32_t i = 1; i < s->arg_count; i += 2) {
        (void)buf_byte(b, ' ');
        put_expanded(b, s->args[i]);
    }
}

static void plan_workdir(struct buf *b, const struct recipe_step *s, const struct recipe_context *c)
{
    (void)buf_append(b, STR("d="));
    put_expanded(b, s->args[0]);
    (void)buf_append(b, STR("\ncase $d in /*) ;; *) d="));
    put_quoted(b, str_of(c->workdir[0] ? c->workdir : ""));
    (void)buf_append(b, STR("/$d ;; esac\n"
                            "p=$d top=\n"
                            "while [ ! -e \"$p\" ] && [ \"$p\" != / ]; do\n"
                            "  top=$p\n"
                            "  p=$(dirname -- \"$p\")\n"
                            "done\n"
                            "mkdir -p -- \"$d\" || exit 1\n"
                            "[ -z \"$top\" ] || chown -R -- "));
    put_quoted(b, str_of(c->user));
    (void)buf_append(b, STR(": \"$top\" || exit 1\n"
                            "cd -- \"$d\" && pwd"));
}

static void plan_user(struct buf *b, const struct recipe_step *s)
{
    (void)buf_append(b, STR(ENSURE_USER GRANT_SUDO "u="));
    put_expanded(b, s->args[0]);
    (void)buf_append(b,
                     STR("\nu=${u%%:*}\n"
                         "case $u in '' | *[!0-9]*) ;; *)\n"
                         "  u=$(awk -F: -v id=\"$u\" '$3 == id { print $1; exit }' /etc/passwd)\n"
                         "  [ -n \"$u\" ] || { echo 'no user has this number' >&2; exit 1; } ;;\n"
                         "esac\n"
                         "ensure_user \"$u\" || exit 1\n"));
    if (s->arg_count > 1 && str_eq(s->args[1], STR("true")))
        (void)buf_append(b, STR("grant_sudo \"$u\"\n"));
    (void)buf_append(b, STR("printf '%s' \"$u\""));
}

/* What was uploaded is unpacked beside, then moved (templates.md 9.2, COPY). GNU tar merges
 * directories as asked for: those that are there keep owner and mode, and links to them are
 * followed; other tars do not, and cp comes closest. */
const char recipe_copy[] =
    "set -e\n"
    "t=" RECIPE_DIR "\n"
    "trap 'rm -rf \"$t\"' EXIT\n"
    "mkdir \"$t/x\"\n"
    "tar -x -f \"$t/files.tar\" -C \"$t/x\" --no-same-owner 2>\"$t/why\" || {\n"
    "  echo \"the upload cannot be unpacked: $(head -n 1 \"$t/why\")\" >&2; exit 1; }\n"
    "rm \"$t/files.tar\"\n"
    "s=$t/x${src:+/$src}\n"
    "[ -e \"$s\" ] || [ -L \"$s\" ] || { echo \"'$src' is not among the uploaded files\" >&2; exit "
    "1; }\n"
    "if [ -n \"$glob\" ] && [ ! -d \"$s\" ]; then s=$(dirname -- \"$s\"); fi\n"
    "case $dest in\n"
    "/*) ;;\n"
    "*) [ -n \"$dir\" ] || dir=$(awk -F: -v u=\"$user\" '$1 == u { print $6; exit }' /etc/passwd)\n"
    "  dest=${dir:-/}/$dest ;;\n"
    "esac\n"
    "if [ -d \"$s\" ] && [ ! -L \"$s\" ]; then\n"
    "  chown -R \"$owner\" \"$s\"\n"
    "  [ -z \"$mode\" ] || chmod -R \"$mode\" \"$s\"\n"
    "  if [ ! -e \"$dest\" ]; then\n"
    "    mkdir -p \"$dest\"\n"
    "    chown \"$owner\" \"$dest\"\n"
    "    [ -z \"$mode\" ] || chmod \"$mode\" \"$dest\"\n"
    "  fi\n"
    "  if tar --version 2>/dev/null | grep -q GNU; then\n"
    "    tar -c -C \"$s\" . | tar -x -p --same-owner --keep-directory-symlink --no-overwrite-dir "
    "-C "
    "\"$dest\"\n"
    "  else\n"
    "    cp -a \"$s/.\" \"$dest/\"\n"
    "  fi\n"
    "  exit 0\n"
    "fi\n"
    "chown -h \"$owner\" \"$s\"\n"
    "[ -z \"$mode\" ] || [ -L \"$s\" ] || chmod \"$mode\" \"$s\"\n"
    "case $dest in */) mkdir -p \"$dest\" ;; *) mkdir -p \"$(dirname -- \"$dest\")\" ;; esac\n"
    "if [ -d \"$dest\" ]; then dest=${dest%/}/$(basename -- \"$s\"); fi\n"
    "mv -f \"$s\" \"$dest\"\n";

static void put_variable(struct buf *b, const char *name, struct str value)
{
    (void)buf_printf(b, "%s=", name);
    put_quoted(b, value);
    (void)buf_byte(b, '\n');
}

static void plan_copy(struct buf *b, const struct recipe_step *s, const struct recipe_context *c)
{
    bool is_pattern;
    struct str src = fixed_part(s->args[0], &is_pattern);
    struct str owner = s->arg_count > 2 ? s->args[2] : STR_NONE;
    char text[520];
    if (!owner.n)
        owner = str_of(c->user);
    (void)snprintf(text, sizeof text, STR_FMT "%s", STR_ARG(owner),
                   memchr(owner.p, ':', owner.n) ? "" : ":");
    put_variable(b, "src", src);
    put_variable(b, "glob", is_pattern ? STR("1") : STR(""));
    put_variable(b, "dest", s->args[1]);
    put_variable(b, "owner", str_of(text));
    put_variable(b, "mode", s->arg_count > 3 ? s->args[3] : STR_NONE);
    put_variable(b, "user", str_of(c->user));
    put_variable(b, "dir", str_of(c->workdir));
    (void)buf_append(b, str_of(recipe_copy));
}

static void plan_script(struct buf *b, const struct recipe_step *s, const struct recipe_context *c)
{
    if (s->kind == RECIPE_ENV)
        plan_env(b, s);
    else if (s->kind == RECIPE_WORKDIR)
        plan_workdir(b, s, c);
    else if (s->kind == RECIPE_USER)
        plan_user(b, s);
    else
        plan_copy(b, s, c);
}

static bool needs_shell(const struct recipe_step *s)
{
    for (uint32_t i = 1; s->kind == RECIPE_ENV && i < s->arg_count; i += 2)
        if (is_variable(s->args[i]))
            return true;
    return s->kind != RECIPE_ENV;
}

int recipe_plan(struct arena *a, const struct recipe_step *s, const struct recipe_context *c,
                struct recipe_op *out)
{
    if (!needs_shell(s))
        return RECIPE_PURE;
    if (s->kind == RECIPE_RUN) {
        bool has_user = s->arg_count > 1 && s->args[1].n;
        *out = (struct recipe_op){ .command = s->args[0],
                                   .user = has_user ? s->args[1] : str_of(c->user),
                                   .workdir = str_of(c->workdir),
                                   .is_login = true,
                                   .has_envs = true,
                                   .is_layer = true };
        return RECIPE_DONE;
    }
    struct buf b;
    buf_init(&b, 0);
    plan_script(&b, s, c);
    char *text = b.failed ? NULL : arena_str(a, buf_str(&b));
    *out = (struct recipe_op){ .command = str_make(text, buf_used(&b)),
                               .user = STR("root"),
                               .workdir = STR("/"),
                               .is_login = s->kind == RECIPE_ENV,
                               .has_envs = s->kind == RECIPE_WORKDIR || s->kind == RECIPE_USER,
                               .has_files = s->kind == RECIPE_COPY,
                               .is_layer = s->kind == RECIPE_COPY,
                               .is_quiet = true };
    buf_deinit(&b);
    return text ? RECIPE_DONE : RAISE(-ENOMEM);
}

/* -- results -- */

static bool apply_env(const struct recipe_step *s, struct str output, struct recipe_context *c)
{
    bool ran = needs_shell(s);
    for (uint32_t i = 0; i < s->arg_count; i += 2) {
        struct str value = s->args[i + 1];
        if (ran && !str_cut(output, '\0', &value, &output))
            return false;
        char *name = str_dup(s->args[i]);
        json_t *text = json_stringn(value.p ? value.p : "", value.n);
        int r = name && text ? json_object_set_new(c->envs, name, text) : -1;
        free(name);
        if (r < 0)
            return false;
    }
    return true;
}

bool recipe_apply(const struct recipe_step *s, struct str output, struct recipe_context *c)
{
    while (s->kind != RECIPE_ENV && output.n && output.p[output.n - 1] == '\n')
        output.n--;
    if (s->kind == RECIPE_ENV)
        return apply_env(s, output, c);
    if (s->kind == RECIPE_WORKDIR)
        return output.n && output.p[0] == '/' && str_copy(output, c->workdir, sizeof c->workdir);
    if (s->kind == RECIPE_USER)
        return output.n && str_copy(output, c->user, sizeof c->user);
    return true;
}

json_t *recipe_envs(const struct recipe_context *c)
{
    json_t *out = json_copy(c->envs);
    const char *path = json_string_value(json_object_get(out, "PATH"));
    if (path && !strstr(path, SYSTEM_PATH) &&
        json_object_set_new(out, "PATH", json_sprintf("%s%s" SYSTEM_PATH, path, *path ? ":" : "")) <
            0) {
        json_decref(out);
        return NULL;
    }
    return out;
}
