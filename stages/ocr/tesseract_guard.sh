#!/bin/sh
# Limit the memory, the threads and the life of one Tesseract: `tesseract_guard.sh INPUT OUTPUT ARGUMENTS...`, as pytesseract calls
# `tesseract_cmd`.
#
# INPUT is `ita-ocr-*/pages.tif`. Its folder also holds the file `limits`: the memory in kilobytes, and the number of
# the process that Tesseract must not outlive. Tesseract's standard error goes to the file `messages` there. The exit
# code is Tesseract's own, or 128 plus the number of the signal that ended it.

case $1 in
    */ita-ocr-*/pages.tif) ;;
    # pytesseract asks once, without a timeout, whether Tesseract is older than 3.05. The stage has checked it before.
    --version) echo "tesseract 4.0.0" && exit ;;
    # Not a call from the OCR stage: the process may use pytesseract for something else.
    *) exec tesseract "$@" ;;
esac

# `setpriv --pdeathsig` sends its signal when the *thread* that started this process ends; that thread waits for it.
# The signal is USR1, because programs are rarely started with USR1 ignored. BusyBox and macOS have no such setpriv.
if [ "$TESSERACT_GUARD" = $$ ]; then
    die_with_guard="setpriv --pdeathsig KILL"
elif setpriv --pdeathsig KILL true 2>/dev/null; then
    export TESSERACT_GUARD=$$
    exec setpriv --pdeathsig USR1 "$0" "$@"
fi

# Several OpenMP threads wait for each other and are 2 to 30 times slower.
# (https://github.com/tesseract-ocr/tesseract/issues/2609)
export OMP_THREAD_LIMIT=1

folder=${1%/*}
output=$2
read -r memory parent <"$folder/limits"
exec 2>/dev/null

stop() {
    kill -KILL $!
    wait
    # The parent cannot remove its files if it is gone.
    rm -f "$folder/pages.tif" "$output" "$output.tsv" "$folder/limits" "$folder/messages"
    rmdir "$folder"
    exit 1
}
trap stop USR1 TERM INT HUP
# The parent may have ended before setpriv took effect.
[ "$PPID" = "$parent" ] || stop

ulimit -c 0
ulimit -v "$memory"
$die_with_guard sh -c 'test "$PPID" = "$0" && exec tesseract "$@"' $$ "$@" 2>"$folder/messages" &
wait $!
