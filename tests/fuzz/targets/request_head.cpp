#include "fuzz/heads.hpp"
#include "fuzz/lenient_readers.hpp"
#include "fuzz/properties.hpp"

#include <memory>
#include <string>

namespace scoregate::fuzz {

using namespace http;
using kind = body_framing::kind;

void request_head(input bytes) {
    const std::string_view given(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto found = find(given);
    if (!found) return;
    // In memory of its own, so that a byte too far is seen.
    const auto copy = std::make_unique<char[]>(found->size());
    std::copy(found->begin(), found->end(), copy.get());
    const std::string_view original(copy.get(), found->size());
    http::request_head head;
    if (!head.parse(original, limits)) return;

    must(head.body.how != kind::until_close, "a request is never delimited by the connection's end");
    must(head.minor_version == 1 || !head.expects_continue, "no 100 for HTTP/1.0");
    must(head.minor_version == 0 || !head.host.empty(), "HTTP/1.1 has a host");
    must(original.find('\0') == std::string_view::npos, "no NUL is accepted");
    const lenient_framing meant{head.body.how == kind::chunked, head.body.length};
    for (const auto& each : frame_leniently(original)) must(each == meant, "one framing, however sloppily it is read");

    base::buffer_pool pool;
    base::buffer out(pool);
    const auto host = head.host.empty() ? std::string_view("iris") : head.host;
    constexpr std::string_view path = "/score";
    out.reserve(room_for(head, path, host));
    write_request_head(out, head, path, host, {"203.0.113.7", "https", head.host},
                       identity(head.client_request_id, head.traceparent));
    must(out.size() <= room_for(head, path, host), "the room that was asked for suffices");

    const auto sent = read_strictly(out.readable());
    must(sent.has_value(), "what is sent on is a head");
    must(sent->size == out.size(), "what is sent on is one head and nothing else");
    const auto expected = std::string(head.method_name) + " /score" + std::string(head.query) + " HTTP/1.1";
    must(sent->start_line == expected, "the request line is method, path of the route, query");
    must(std::count(expected.begin(), expected.end(), ' ') == 2, "the request line has three words");
    must(sent->values("host") == std::vector{std::string(host)}, "exactly one Host");
    const auto framing = frame_strictly(*sent);
    must(framing.has_value(), "exactly one framing");
    must(framing->chunked == (head.body.how == kind::chunked), "chunked stays chunked");
    must(framing->length.value_or(0) == head.body.length, "the length stays the same");
    must(head.body.how != kind::length || framing->length, "a body with a length announces it");
    must_be_hop_free(*sent);
    for (const auto& [name, value] : sent->fields) {
        must(!one_of(name, {"connection", "expect", "authorization", "forwarded", "proxy", "x-real-ip"}),
             "a field that the replica must not get");
        must(name.find('_') == std::string::npos, "no name with an underscore");
        must(!name.starts_with("x-forwarded-") ||
                 one_of(name, {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}),
             "forwarded fields are ours");
        for (const auto each : head.nominated)
            must(!equals_ignoring_case(name, each), "a nominated field is not passed on");
    }
    for (const auto ours : {"x-forwarded-for", "x-forwarded-proto", "x-request-id", "traceparent"})
        must(sent->values(ours).size() == 1, "each field of ours once");
    must(sent->values("x-forwarded-for").front() == "203.0.113.7", "the address is ours to say");

    // What we sent would be taken by another scoregate as the same request.
    http::request_head again;
    must(again.parse(out.readable(), {65536, 1000}).has_value(), "what is sent on is accepted again");
    must(again.body.how == head.body.how || (head.body.how == kind::none && again.body.length == 0),
         "as the same body");
}

} // namespace scoregate::fuzz
