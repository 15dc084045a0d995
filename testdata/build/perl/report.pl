use strict;
use warnings;
use JSON;

my %count;
while (<>) {
	$count{lc $1}++ while /(\w+)/g;
}
my ($most) = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print JSON->new->canonical->encode({ words => scalar(keys %count), most => $most }), "\n";
print join(" ", glob("* text/*")), "\n";
