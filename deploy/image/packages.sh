#!/bin/sh
# Installs the Debian packages of a list into an image, and leaves nothing else behind. Usage: packages.sh LIST
set -eu

apt-get update -q
sed 's/#.*//' "$1" | DEBIAN_FRONTEND=noninteractive xargs apt-get install -q -y --no-install-recommends
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
