#!/usr/bin/env bash
# A Chromium for the tests of the reports: installed where that is easy, done without where it is not.
set -u

has_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null

has_browser && exit 0
as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
# Ubuntu's package of that name is only a pointer to a snap, which a container cannot take.
if grep -qsx ID=debian /etc/os-release && { [ -z "$as_root" ] || $as_root true 2>/dev/null; }; then
    echo "Installing chromium with apt-get, for the tests"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
has_browser || echo "note: there is no Chromium or Chrome here; the tests that need one are skipped"
