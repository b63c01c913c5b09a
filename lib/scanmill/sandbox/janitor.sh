#!/bin/sh
# Cleans up after a worker, however it ends: its end of our pipe closes then, also after kill -9.
# What carries the name of its scratch folder in its environment is ended, then the folder goes.
end_all() {
    found=yes
    while [ "$found" ]; do
        found=
        for process in /proc/[0-9]*; do
            if grep -qzF "SCANMILL_SCRATCH=$1/" "$process/environ" 2>/dev/null; then
                kill -KILL "${process#/proc/}" 2>/dev/null && found=yes
            fi
        done
    done
}
read -r _
end_all "$1"
sleep 1 # what was only just being started may not have carried the name yet
end_all "$1"
rm -rf -- "$1"
