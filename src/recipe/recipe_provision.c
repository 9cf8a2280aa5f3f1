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
 * commands. None of them may ask, and without a network they give up soon: dnf tries ten times by
 * default. microdnf knows few options, -q and the times are not among them; --allowerasing is for
 * images with curl's small library, which stands in the way of curl. Old apk has no --timeout, old
 * pacman no sandbox for its downloads, which fails where the kernel lets nobody use Landlock.
 * pacman has only whole upgrades: a package of today beside libraries of yesterday may not run. */
#define CHOOSE                                                                                     \
    "names='certs=ca-certificates ss=iproute2 pgrep=procps useradd=shadow'\n"                      \
    "tidy() { :; }\n"                                                                              \
    "if has apt-get; then\n"                                                                       \
    "  export DEBIAN_FRONTEND=noninteractive\n"                                                    \
    "  o='-qq -o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15'\n" \
    "  try() { apt-get update $o && apt-get install -y --no-install-recommends $o $p; }\n"         \
    "  tidy() { apt-get clean; rm -rf /var/lib/apt/lists/*; }\n"                                   \
    "  names=\"$names useradd=passwd\"\n"                                                          \
    "elif has dnf || has microdnf || has yum; then\n"                                              \
    "  d=yum o='--setopt=timeout=15 --setopt=retries=1'\n"                                         \
    "  ! has microdnf || { d=microdnf o=--setopt=install_weak_deps=0; }\n"                         \
    "  ! has dnf || d=dnf\n"                                                                       \
    "  [ $d != dnf ] || o='--setopt=timeout=15 --setopt=retries=1 --allowerasing'\n"               \
    "  [ $d != dnf ] || o=\"$o --setopt=install_weak_deps=False\"\n"                               \
    "  try() { $d install -y $o $p; }\n"                                                           \
    "  tidy() { $d clean all; }\n"                                                                 \
    "  names=\"$names ss=iproute pgrep=procps-ng useradd=shadow-utils\"\n"                         \
    "elif has apk; then\n"                                                                         \
    "  o=\n"                                                                                       \
    "  ! apk add --help 2>&1 | grep -q -e --timeout || o='--timeout 15'\n"                         \
    "  try() { apk add --no-cache -q $o $p; }\n"                                                   \
    "elif has pacman; then\n"                                                                      \
    "  o=\n"                                                                                       \
    "  ! pacman -S --help 2>&1 | grep -q -e --disable-sandbox || o=--disable-sandbox\n"            \
    "  try() { pacman -Syu --noconfirm --needed $o $p; }\n"                                        \
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
