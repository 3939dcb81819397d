# SPDX-License-Identifier: GPL-2.0-or-later
# make -j2 of a small C project, twice; then its program runs.
set -eu
unset MAKEFLAGS MAKELEVEL MFLAGS || :
n=0
while [ $n -lt 12 ]; do
	{
		echo '#include <stdio.h>'
		echo '#include <stdlib.h>'
		echo '#include <string.h>'
		i=0
		while [ $i -lt 15 ]; do
			echo "int f${n}_$i(int x); int f${n}_$i(int x) { char b[64]; int s = 0; snprintf(b, sizeof(b), \"%d\", x * $i); for (size_t k = 0; k < strlen(b); k++) s = s * 31 + b[k] + $n; return s % 10007; }"
			i=$((i + 1))
		done
		echo "int part$n(int x); int part$n(int x) { return f${n}_0(x) + f${n}_7(x) + f${n}_14(x); }"
	} >part$n.c
	n=$((n + 1))
done
{
	echo '#include <stdio.h>'
	n=0
	while [ $n -lt 12 ]; do echo "int part$n(int x);"; n=$((n + 1)); done
	echo 'int main(void) { long s = 0; for (int i = 0; i < 1000; i++) {'
	n=0
	while [ $n -lt 12 ]; do echo "s += part$n(i);"; n=$((n + 1)); done
	printf '%s\n' '} printf("%ld\n", s); return 0; }'
} >main.c
{
	printf 'OBJS = main.o'
	n=0
	while [ $n -lt 12 ]; do printf ' part%d.o' $n; n=$((n + 1)); done
	printf '\nprog: $(OBJS)\n\t@$(CC) -o $@ $(OBJS)\n%%.o: %%.c\n\t@$(CC) $(CFLAGS) -c -o $@ $<\nclean:\n\t@rm -f prog *.o\n'
} >Makefile
for cflags in -O0 -O1 -O2 -O3; do
	make -s -j2 CFLAGS="$cflags -Wall -Werror" prog
	./prog
	sha256sum *.o
	make -s clean
done
