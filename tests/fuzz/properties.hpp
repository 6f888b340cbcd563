// What must hold for any bytes at all, one function per fuzz target, each in targets/NAME.cpp. libFuzzer calls them
// with what it invents; a unit test calls them with the seeds and with every input that once failed. A broken property
// prints why and aborts.
//
// "Accepted implies unambiguous" is judged by second readers, written for these tests from the RFCs and sharing no code
// with what they judge: simple enough to be seen to be right.
#pragma once

#include <cstdint>
#include <span>

namespace scoregate::fuzz {

using input = std::span<const std::uint8_t>;

// A request head, found in pieces, parsed, and rewritten for a replica: what is sent on is one head with one framing
// and nothing that is not its business. What came in has one framing for every sloppy reader too.
void request_head(input);
// The same for a replica's reply. The first byte chooses the request's method and how the body goes on.
void reply_head(input);
// A chunked body: the same in any pieces; what was taken frames to a body that decodes to itself. The first two bytes
// choose the pieces.
void chunked_body(input);
// A client's connection, heads and bodies one after the other, as it goes on to a replica: there it is as many messages
// with the same bodies, and not a byte beside them.
void exchange(input);
// A request head, routed: its path, read by servers that decode and tidy, leads to the same service and route, and so
// does the path that the replica gets.
void routing(input);
// A configuration; behind a NUL a file of services_dir. What is accepted lies within the ranges that the documentation
// lists, what is refused says where and why, and no secret is shown.
void configuration(input);
// The first byte chooses what the rest is: an Authorization field, a key file, a key set, claims that are signed, a
// token that is not. Nobody is let in whose key or signature is not right, read by another reader.
void token(input);
// A server name (SNI): the certificate that is chosen covers it, and no better one is there.
void sni(input);
// A PROXY header, version 1 or 2: the same in any pieces, and another reader finds the same address.
void proxy_header(input);
// Lines of X-Forwarded-For: who is believed, from the end of the list, by another reader's account. The first byte
// chooses whether the peer is trusted.
void forwarded_for(input);
// An answer of DNS: the records of a message as another reader sees them, and what a row of answers leaves known.
void dns_answer(input);
// Behind each other, with NULs between: an endpoint of Azure ML, one deployment or two, settings of the extension. What
// they become is a configuration that is accepted and has their names, or there is a reason why not.
void azureml_import(input);

} // namespace scoregate::fuzz
