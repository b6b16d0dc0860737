package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuOf is the CPU time that a process, its children and its dead children have used. Linux only; 0 elsewhere.
func cpuOf(pid int) time.Duration {
	if pid <= 0 {
		return 0
	}
	parents := map[int]int{}
	used := map[int]time.Duration{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		id, _ := strconv.Atoi(strings.Split(file, "/")[2])
		_, rest, _ := strings.Cut(string(text), ") ") // the name before may hold anything
		fields := strings.Fields(rest)
		if len(fields) < 15 {
			continue
		}
		parents[id], _ = strconv.Atoi(fields[1])
		ticks := 0
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
			n, _ := strconv.Atoi(fields[i])
			ticks += n
		}
		used[id] = time.Duration(ticks) * (time.Second / 100) // USER_HZ is 100 on every Linux we run on
	}
	var sum time.Duration
	for id, t := range used {
		for p := id; p > 1; p = parents[p] {
			if p == pid {
				sum += t
				break
			}
		}
	}
	return sum
}

// ownCPU is the CPU time of this process alone, to the microsecond.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
