#!/bin/bash
# Prints how many lines and branches the tests took, for each folder, from what programs built with -fprofile-arcs
# -ftest-coverage left; make coverage calls it. Each line with a branch that nothing took is listed in BUILD/missed_branches.txt.
# A branch counts as taken when a test took it, whatever made the test take it: also a failing allocation or system call
# of tests/test_failing_*.c. scripts/coverage_exceptions.txt names sources that are not counted, and branches that no test can
# take, each with its reason. The figures are printed with and without these branches; BUILD/excepted_branches.txt lists them.
# usage: scripts/coverage.sh BUILD FOLDER
set -u
build=$1
folder=$2
cd "$(dirname "$0")/.." || exit 70
command -v gcov >/dev/null || { echo "coverage: needs gcov, which comes with gcc" >&2; exit 69; }
mapfile -t notes < <(find "$build/obj/$folder" -name '*.gcno' | sort)
[ ${#notes[@]} -gt 0 ] || { echo "coverage: nothing in $build/obj/$folder was built for it: run make coverage" >&2; exit 66; }
missed=$build/missed_branches.txt
excepted=$build/excepted_branches.txt

# gcov's text: "COUNT:LINE:SOURCE" per line (##### never executed, - no code), then its branches "branch N taken M" or "never executed".
for note in "${notes[@]}"; do
    gcov --stdout --branch-probabilities --branch-counts --object-directory "$(dirname "$note")" "$note" 2>/dev/null
done | awk -v folder="$folder/" -v missed="$missed" -v excepted="$excepted" -v exceptions=scripts/coverage_exceptions.txt '
    # Up to rule_count[i] of the branches of this line that nothing took; rules count together.
    function excuse(untaken,    i, part, all) {
        for (i = 1; i <= rules; i++) {
            if (index(file, rule_file[i]) != 1 || !index(text, rule_text[i])) continue
            part = untaken - all < rule_count[i] ? untaken - all : rule_count[i]
            if (part <= 0) continue
            all += part
            used[i] = 1
            print file ":" number ": " part " of " branches ", " rule_why[i] ": " text >excepted
        }
        return all + 0
    }
    function finish_line(    excused) {
        if (branches > taken) {
            excused = excuse(branches - taken)
            excused_branches[room] += excused; file_hit[file] += excused
            if (branches > taken + excused) print file ":" number ": " taken + excused " of " branches " taken: " text >missed
        }
        branches = taken = 0
    }
    BEGIN {
        printf "" >missed
        printf "" >excepted
        while ((getline line <exceptions) > 0) {
            if (line ~ /^#/ || split(line, words, " ") < 2) continue
            if (!(why = index(line, " ## "))) { skipped[words[1]] = 1; continue }
            rule_file[++rules] = words[1]; rule_count[rules] = words[2] + 0; rule_why[rules] = substr(line, why + 4)
            text = substr(line, 1, why - 1)
            sub(/^[^ ]+ +[^ ]+ +/, "", text)
            rule_text[rules] = text
        }
    }
    /^ +-: +0:Source:/ {
        finish_line()
        file = $0
        sub(/^ +-: +0:Source:/, "", file)
        counted = index(file, folder) == 1 && file ~ /\.c$/ && !(file in skipped)
        room = file
        sub(/\/[^\/]*$/, "", room)
        next
    }
    !counted { next }
    /^branch +[0-9]+ / {
        all_branches[room]++; file_branches[file]++; branches++
        if ($0 ~ / taken [1-9]/) { hit_branches[room]++; file_hit[file]++; taken++ }
        next
    }
    /^ *[0-9#=*-]+:/ {
        finish_line()
        split($0, parts, ":")
        count = parts[1]; number = parts[2] + 0; text = substr($0, length(parts[1] parts[2]) + 3)
        sub(/^ +/, "", text)
        if (count ~ /-/ || number == 0) next
        all_lines[room]++
        if (count !~ /[#=]/) hit_lines[room]++
    }
    function excused_percent(hit, whole, excused) {
        return excused ? sprintf("   %s without %d that no test can take", percent(hit, whole - excused), excused) : ""
    }
    function percent(part, whole) { return whole ? sprintf("%5.1f %%", 100 * part / whole) : "      -" }
    END {
        finish_line()
        order = "sort"
        for (room in all_lines) {
            printf "%-24s lines %s of %5d   branches %s of %5d%s\n", room, percent(hit_lines[room], all_lines[room]), all_lines[room],
                percent(hit_branches[room], all_branches[room]), all_branches[room],
                excused_percent(hit_branches[room], all_branches[room], excused_branches[room]) | order
            lines += all_lines[room]; lines_hit += hit_lines[room]
            total += all_branches[room]; total_hit += hit_branches[room]; total_excused += excused_branches[room]
        }
        close(order)
        printf "%-24s lines %s of %5d   branches %s of %5d%s\n", "all of " folder, percent(lines_hit, lines), lines,
            percent(total_hit, total), total, excused_percent(total_hit, total, total_excused)
        for (i = 1; i <= rules; i++)
            if (!used[i]) printf "exception without a branch that needs it: %s %d %s\n", rule_file[i], rule_count[i], rule_text[i]
        for (file in file_branches) print file_branches[file] - file_hit[file], file_branches[file], file >(missed ".files")
    }'
sort -rn "$missed.files" | awk '$1 > 0 && NR <= 12 { if (NR == 1) print "most branches that no test takes:"; printf "  %4d of %4d  %s\n", $1, $2, $3 }'
rm -f "$missed.files"
echo "each of them: $missed; those that no test can take: $excepted"
