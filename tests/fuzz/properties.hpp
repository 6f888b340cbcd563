// What must hold for any bytes at all, one function per fuzz target. libFuzzer calls them with what it invents; a unit
// test calls them with the seeds and with every input that once failed. A broken property prints why and aborts.
//
// "Accepted implies unambiguous" is judged by a second parser, written for these tests from RFC 9112 and sharing no
// code with http/head: simple enough to be seen to be right, and so strict that no reader could take its result for
// another.
#pragma once

#include <cstdint>
#include <span>

namespace scoregate::fuzz {

using input = std::span<const std::uint8_t>;

// A request head, found in pieces, parsed, and rewritten for a replica: what is sent on is one head with one framing
// and nothing that is not its business.
void request_head(input);
// The same for a replica's reply. The first byte chooses the request's method and how the body goes on.
void reply_head(input);
// A chunked body: the same in any pieces; what was taken frames to a body that decodes to itself. The first two bytes
// choose the pieces.
void chunked_body(input);

} // namespace scoregate::fuzz
