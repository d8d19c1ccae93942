#!/usr/bin/perl
# A FastCGI program on FCGI.pm, which finds its socket on descriptor 0.
use strict;
use warnings;
use FCGI;

my ($in, $out, $err, %env) = (\*STDIN, \*STDOUT, \*STDERR);
my $request = FCGI::Request($in, $out, $err, \%env);
my $count = 0;
while ($request->Accept() >= 0) {
    my $length = $env{CONTENT_LENGTH} || 0;
    my $got = 0;
    while ($got < $length && (my $n = read(STDIN, my $piece, $length - $got))) {
        $got += $n;
    }
    $count++;
    print STDERR "request $count of the program\n" if $env{QUERY_STRING} eq 'say';
    print "Status: 201 Made\r\nContent-Type: text/plain\r\n\r\n";
    print "pid=$$ count=$count method=$env{REQUEST_METHOD} script=$env{SCRIPT_NAME} path=$env{PATH_INFO} got=$got\n";
    last if $env{QUERY_STRING} eq 'last';
}
