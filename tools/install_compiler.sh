#!/bin/sh
# Install what compiles the native modules, where it is missing and this machine lets us: Debian's gcc.
#   install_compiler.sh PYTHON        the interpreter whose headers are needed too
# What is missing afterwards is no failure here: the package then does without its native engine, and says so.
set -u
needed=
command -v "${CC:-gcc}" >/dev/null || needed="gcc libc6-dev"
headers=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
case $headers in
/usr/include/*) [ -e "$headers" ] || needed="$needed libpython$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dev" ;;
esac
if [ -n "$needed" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    # shellcheck disable=SC2086 # several packages
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $needed; } \
        >/dev/null || echo "apt-get could not install $needed"
fi
exit 0
