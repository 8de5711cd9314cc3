#!/usr/bin/env bash
# What .ci/run has, too: Chromium, PostgreSQL and nginx for the tests, and all Python packages.
set -euo pipefail
sudo mkdir -p /etc/postgresql-common
echo "create_main_cluster = false" | sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
sudo apt-get update -qq
sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium postgresql nginx-light
make CPU=1 .venv/.installed-dev
