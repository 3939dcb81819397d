/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/fuzz/fuzz.h - a fuzz target is a file with this one function.  Built twice: with libFuzzer (./configure --enable-fuzzers CC=clang), and with
 * replay.c, which feeds it the files of tests/fuzz/corpus/NAME in `make check`. */
#ifndef OM_TESTS_FUZZ_H
#define OM_TESTS_FUZZ_H
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#endif
