#!/usr/bin/env bash
# Sees to what pip cannot install: venv where Debian leaves it out of Python, Tesseract with English, and the
# libraries that opencv-python opens on a bare server.
# A Chromium for the tests of the reports is installed where that is easy, and done without where it is not.
# usage: system-packages.sh PYTHON
set -u
python=$1

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: $python is not Python 3.11 or newer" >&2
    echo "hint: install one and name it: make setup PYTHON=python3.12" >&2
    exit 3
fi

lacking() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    { command -v tesseract && tesseract --list-langs 2>&1 | grep -x eng; } >/dev/null \
        || echo tesseract-ocr tesseract-ocr-eng
    "$python" -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || echo libgl1
    "$python" -c 'import ctypes; ctypes.CDLL("libgthread-2.0.so.0")' 2>/dev/null || echo libglib2.0-0
}

has_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null

# On a Mac only Tesseract is asked for: the rest comes with Python and OpenCV.
case "$(uname -s)" in Linux) wanted=$(lacking) ;; *) wanted=$(lacking | grep tesseract) ;; esac
[ -z "$wanted" ] && has_browser && exit 0

as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || $as_root true 2>/dev/null; }; then
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq
    if [ -n "$wanted" ]; then
        echo "Installing" $wanted "with apt-get"
        $as_root apt-get install -y -qq --no-install-recommends $wanted >/dev/null
    fi
    # Ubuntu's package of that name is only a pointer to a snap, which a container cannot take.
    if ! has_browser && grep -qx ID=debian /etc/os-release; then
        echo "Installing chromium with apt-get, for the tests"
        $as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null
    fi
    [ -n "$wanted" ] && wanted=$(lacking)
fi
has_browser || echo "note: there is no Chromium or Chrome here; the tests that need one are skipped"
[ -z "$wanted" ] && exit 0

cat >&2 <<EOF
error: the system lacks $(echo $wanted), and apt-get cannot install that here
hint: Debian, Ubuntu   sudo apt-get install $(echo $wanted)
      Fedora           sudo dnf install tesseract tesseract-langpack-eng mesa-libGL glib2
      macOS            brew install tesseract
EOF
exit 3
