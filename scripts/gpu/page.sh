# shellcheck shell=bash
# The end of gpu_check.sh: writes the page from the rows, and prints the table. It is sourced.

# The rows of a section as a Markdown table.
section_table() {
    awk -F'\t' -v section="$1" '$1 == section {
        gsub(/\|/, "\\|"); if (!n++) print "| | | | |\n|---|---|---|---|"
        printf "| %s | %s | %s | %s |\n", $3, $4, $2 == "info" ? "" : $2, $5 }' "$ROWS"
}

write_page() { # FOLDER
    local name page section
    name=$(awk -F'\t' '$3 == "GPU" { print tolower($4); exit }' "$ROWS" | tr -cs 'a-z0-9\n' '-' | sed 's/-*$//')
    [ "$MODE" != simulate ] || name=simulated
    page=$1/${name:-unknown-gpu}.md
    {
        if [ "$MODE" = simulate ]; then echo "# Simulated"; else echo "# $(awk -F'\t' '$3 == "GPU" { print $4; exit }' "$ROWS")"; fi
        echo
        echo "Made by \`scripts/gpu_check.sh --$MODE\` on $(date -u +%Y-%m-%d); [README.md](README.md) says what the rows mean."
        [ "$MODE" != simulate ] || printf '\nNo figure here is a measurement of a GPU; the students are smaller than those of the PyTorch rows.\n'
        # shellcheck disable=SC2154 # sections are gpu_check.sh's
        for section in $sections; do
            grep -q "^$section"$'\t' "$ROWS" || continue
            printf '\n## %s%s\n\n' "$(echo "${section:0:1}" | tr a-z A-Z)" "${section:1}"
            section_table "$section"
            [ "$section" = profile ] || continue
            for precision in fp32 bf16; do
                [ -s "$WORK/profile.$precision.txt" ] && printf '\nStudent A, %s: ' $precision && cat "$WORK/profile.$precision.txt"
            done
        done
    } >"$page" && echo "page: $page"
}

print_summary() {
    echo
    awk -F'\t' '{ n[$2]++
        if ($2 != "info" || $1 == "benchmarks" || $1 == "profile" || $3 == "GPU")
            printf "%-4s %-62s %-30s %s\n", $2 == "info" ? "" : $2, substr($3, 1, 62), $4, substr($5, 1, 100) }
        END { printf "\n%d ok, %d FAILED, %d skipped\n", n["ok"], n["FAIL"], n["skip"] }' "$ROWS"
}
