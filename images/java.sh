#!/bin/sh
# In the predictor's image: a Java to run TorchServe on.
set -eu
mkdir -p /usr/share/man/man1   # slim images leave it out, and Java's alternatives want it
apt-get update -q
apt-get install -q -y --no-install-recommends openjdk-17-jre-headless
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt
