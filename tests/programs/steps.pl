# SPDX-License-Identifier: GPL-2.0-or-later
# Small steps for the kill test: a log that is kept open, a state file that is replaced by rename.
use strict;
use warnings;
$| = 1;
my $sum = 0;
open my $log, '>', 'log' or die;
for my $n (1 .. 250) {
	$sum = ($sum * 31 + $n) % 1000003;
	syswrite $log, "$n $sum\n";
	open my $f, '>', 'state.new' or die;
	print $f "$n $sum\n";
	close $f or die;
	rename 'state.new', 'state' or die;
	print "$n\n" if $n % 50 == 0;
	select undef, undef, undef, 0.01;
}
print "$sum\n";
