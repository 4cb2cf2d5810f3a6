#!/usr/bin/env bash
# Sees to what pip cannot install: Tesseract with English, and the libGL that opencv-python opens.
# usage: system-packages.sh PYTHON
set -u
python=$1
missing=()

{ command -v tesseract >/dev/null && tesseract --list-langs 2>/dev/null | grep -qx eng; } \
    || missing+=(tesseract-ocr tesseract-ocr-eng)
"$python" -c 'import cv2' 2>/dev/null || missing+=(libgl1 libglib2.0-0)
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || $as_root true 2>/dev/null; }; then
    echo "Installing ${missing[*]} with apt-get"
    $as_root apt-get update -qq \
        && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
        && exit 0
fi

cat >&2 <<EOF
error: the system lacks ${missing[*]}, and apt-get cannot install them here
hint: Debian, Ubuntu   sudo apt-get install ${missing[*]}
      Fedora           sudo dnf install tesseract tesseract-langpack-eng mesa-libGL glib2
      macOS            brew install tesseract
EOF
exit 3
