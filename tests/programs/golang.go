// SPDX-License-Identifier: GPL-2.0-or-later
// Go: goroutines, channels, the collector, the scheduler's own signals.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sort"
	"time"
)

func work(n int) string {
	list := make([]string, 0, 5000)
	for i := 0; i < 5000; i++ {
		list = append(list, fmt.Sprintf("%x", (i*7919+n)%100003))
	}
	sort.Strings(list)
	h := sha256.New()
	for _, s := range list {
		h.Write([]byte(s))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

type result struct {
	n    int
	text string
}

func main() {
	in, out := make(chan int), make(chan result, 4)
	for i := 0; i < 4; i++ {
		go func() {
			for n := range in {
				out <- result{n, work(n)}
			}
		}()
	}
	f, err := os.Create("go.txt")
	if err != nil {
		panic(err)
	}
	for turn := 0; turn < 120; turn++ {
		go func() {
			for i := 0; i < 16; i++ {
				in <- turn*16 + i
			}
		}()
		got := make([]string, 16)
		for i := 0; i < 16; i++ {
			r := <-out
			got[r.n%16] = r.text
		}
		fmt.Fprintln(f, turn, got)
		fmt.Println(turn, got[turn%16])
		time.Sleep(time.Millisecond)
	}
	f.Close()
}
