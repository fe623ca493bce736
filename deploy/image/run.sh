#!/bin/sh
# Runs the server of the root folder $GRADWIRE_IMAGE_ROOT as a container engine would: as a non-root user, on a read-only
# root. Becomes the server, so that signals and exit status are its own. Usage: run.sh FLAG...   (as root)
set -eu

# shellcheck disable=SC2016  # expanded by the inner shell
exec unshare --mount -- sh -eu -c '
  root=$1
  shift
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  touch "$root/etc/hosts"
  mount --bind /etc/hosts "$root/etc/hosts"
  mount -o remount,bind,ro "$root"
  exec env -i PATH=/usr/bin:/usr/sbin setpriv --no-new-privs \
    chroot --userspec=65532:65532 --groups=65532 "$root" gradwire-server "$@"
' sh "$GRADWIRE_IMAGE_ROOT" "$@"
