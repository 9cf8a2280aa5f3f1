/* What an image lacks of what people count on (templates.md 9.2), by the image's own packages. */
#include "recipe/recipe.h"

/* $missing: the commands that are not there, and "certs". */
#define LOOK                                                                                       \
    "has() { command -v $1 >/dev/null 2>&1; }\n"                                                   \
    "certs() {\n"                                                                                  \
    "  for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \\\n"          \
    "    /etc/ssl/cert.pem; do [ -s $f ] && return 0; done\n"                                      \
    "  return 1\n"                                                                                 \
    "}\n"                                                                                          \
    "missing=\n"                                                                                   \
    "for c in sudo curl git ss pgrep bash useradd; do has $c || missing=\"$missing $c\"; done\n"   \
    "certs || missing=\"$missing certs\"\n"                                                        \
    "[ -n \"$missing\" ] || exit 0\n"

/* How to install $p, how to leave nothing behind, and packages that have other names than their
 * commands. */
#define CHOOSE                                                                                     \
    "names='certs=ca-certificates ss=iproute2 pgrep=procps useradd=shadow'\n"                      \
    "tidy() { :; }\n"                                                                              \
    "if has apt-get; then\n"                                                                       \
    "  export DEBIAN_FRONTEND=noninteractive\n"                                                    \
    "  o='-qq -o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15'\n" \
    "  try() { apt-get update $o && apt-get install -y --no-install-recommends $o $p; }\n"         \
    "  tidy() { apt-get clean; rm -rf /var/lib/apt/lists/*; }\n"                                   \
    "  names=\"$names useradd=passwd\"\n"                                                          \
    "elif d=$(command -v dnf || command -v microdnf || command -v yum); then\n"                    \
    "  try() { $d install -y -q $p; }\n"                                                           \
    "  tidy() { $d clean all; }\n"                                                                 \
    "  names=\"$names ss=iproute pgrep=procps-ng useradd=shadow-utils\"\n"                         \
    "elif has apk; then\n"                                                                         \
    "  try() { apk add --no-cache -q --timeout 15 $p; }\n"                                         \
    "elif has pacman; then\n"                                                                      \
    "  try() { pacman -Sy --noconfirm --quiet --needed $p; }\n"                                    \
    "  tidy() { rm -rf /var/cache/pacman/pkg/*; }\n"                                               \
    "  names=\"$names pgrep=procps-ng\"\n"                                                         \
    "else\n"                                                                                       \
    "  echo \"it lacks$missing, and has no package manager that is known\" >&2\n"                  \
    "  exit 1\n"                                                                                   \
    "fi\n"

#define INSTALL                                                                                    \
    "p=\n"                                                                                         \
    "for c in $missing; do\n"                                                                      \
    "  n=$c\n"                                                                                     \
    "  for w in $names; do [ \"${w%%=*}\" != $c ] || n=${w#*=}; done\n"                            \
    "  p=\"$p $n\"\n"                                                                              \
    "done\n"                                                                                       \
    "echo \"installing$p\"\n"                                                                      \
    "try >/.provision 2>&1\n"                                                                      \
    "r=$?\n"                                                                                       \
    "if [ $r != 0 ]; then\n"                                                                       \
    "  tail -n 5 /.provision >&2\n"                                                                \
    "  echo \"it lacks$missing, and they could not be installed\" >&2\n"                           \
    "fi\n"                                                                                         \
    "rm -f /.provision\n"                                                                          \
    "tidy >/dev/null 2>&1\n"                                                                       \
    "exit $r\n"

const char *recipe_provision(void) { return LOOK CHOOSE INSTALL; }
