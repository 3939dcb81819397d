# SPDX-License-Identifier: GPL-2.0-or-later
# perl: hashes, regular expressions, sorting, a file opened for append again and again.
use strict;
use warnings;
use Digest::MD5;
$| = 1;
my ($x, %count) = (12345);
for my $turn (1 .. 80) {
	my @list;
	for (1 .. 30000) {
		$x = ($x * 1103515245 + 12345) % 2147483648;
		push @list, sprintf("%x", $x);
	}
	$count{$1 // ''}++ for map { /([a-f]+)/; $1 } @list;
	my $sum = Digest::MD5::md5_hex(join ' ', sort @list);
	print "$turn $sum\n";
	open my $f, '>>', 'sums.txt' or die "sums.txt: $!";
	print $f "$sum ", scalar(keys %count), "\n";
	close $f or die "sums.txt: $!";
}
print "$_ $count{$_}\n" for sort { $count{$b} <=> $count{$a} || $a cmp $b } grep { $count{$_} > 500 } keys %count;
