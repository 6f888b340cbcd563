#include "fuzz/properties.hpp"

#include "fuzz/strict_reader.hpp"
#include "http/body.hpp"
#include "http/write.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace scoregate::fuzz {

namespace {

using namespace http;
using kind = body_framing::kind;

void must(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken property: %s\n", what);
    std::abort();
}

constexpr head_limits limits{4096, 40};

request_identity identity(std::string_view client, std::string_view trace) {
    static identifier_source source;
    request_identity made;
    made.id = source.make_guid();
    made.client = clean_client_id(client);
    made.trace = source.continue_trace(trace);
    return made;
}

// The head at the front of `bytes`, which came whole, in halves or byte by byte: always the same end or the same
// refusal.
std::optional<std::string_view> find(std::string_view bytes) {
    std::size_t scanned = 0;
    const auto whole = find_head_end(bytes, scanned, limits);
    for (const std::size_t step : {bytes.size() / 2 + 1, std::size_t{1}}) {
        scanned = 0;
        for (std::size_t have = std::min(step, bytes.size());; have = std::min(have + step, bytes.size())) {
            const auto pieces = find_head_end(bytes.substr(0, have), scanned, limits);
            must(scanned <= have, "looked no further than there was");
            if (!pieces) {
                must(!whole, "refused in pieces, so refused whole");
                break;
            }
            if (*pieces) {
                must(whole && *whole == *pieces, "the same end in pieces and whole");
                break;
            }
            if (have < bytes.size()) continue;
            must(whole && !*whole, "no end in pieces, so none in the whole");
            break;
        }
    }
    if (!whole || !*whole) return std::nullopt;
    must(**whole <= bytes.size() && **whole <= limits.bytes, "a head lies within its bytes and its limit");
    return bytes.substr(0, **whole);
}

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

void must_be_hop_free(const strict_head& head) {
    for (const auto& [name, value] : head.fields)
        must(!one_of(name, {"keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
                            "proxy-authentication-info", "te", "trailer", "upgrade"}),
             "no hop-by-hop field is passed on");
}

} // namespace

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

void reply_head(input bytes) {
    if (bytes.empty()) return;
    const auto choice = bytes.front();
    const std::string_view given(reinterpret_cast<const char*>(bytes.data()) + 1, bytes.size() - 1);
    const auto found = find(given);
    if (!found) return;
    const auto copy = std::make_unique<char[]>(found->size());
    std::copy(found->begin(), found->end(), copy.get());
    const auto to = (choice & 1) != 0 ? method::head : method::post;
    http::response_head head;
    if (!head.parse({copy.get(), found->size()}, limits, to)) return;

    must(head.status >= 100 && head.status <= 599, "a status of three digits");
    const bool bodyless = to == method::head || head.status < 200 || head.status == 204 || head.status == 304;
    must(!bodyless || head.body.how == kind::none, "no body where there is none (RFC 9112 6.3)");
    must(head.body.how != kind::until_close || !head.keep_alive, "a connection that ends a body is not kept");

    base::buffer_pool pool;
    base::buffer out(pool);
    out.reserve(room_for(head));
    if (head.status < 200) {
        write_interim_head(out, head);
        const auto sent = read_strictly(out.readable());
        must(sent && sent->size == out.size(), "an interim reply is one head");
        const auto framing = frame_strictly(*sent);
        must(framing && !framing->chunked && !framing->length, "an interim reply has no framing");
        must_be_hop_free(*sent);
        return;
    }
    reply_framing towards{head.body, !head.keep_alive, false};
    const bool to_old_client = (choice & 2) != 0;
    if (head.body.how == kind::until_close && !to_old_client) towards = {{kind::chunked, 0}, false, false};
    const auto status = head.status == 500 ? 502 : head.status;
    write_reply_head(out, head, status, {status == 502 ? "model_error" : ""}, towards, "blue",
                     "Thu, 01 Jan 1970 00:00:00 GMT", {}, identity("", ""));
    must(out.size() <= room_for(head), "the room that was asked for suffices");

    const auto sent = read_strictly(out.readable());
    must(sent.has_value(), "what is sent on is a head");
    must(sent->size == out.size(), "what is sent on is one head and nothing else");
    must(sent->start_line.starts_with("HTTP/1.1 " + std::to_string(status) + ' '), "the status line");
    const auto framing = frame_strictly(*sent);
    must(framing.has_value(), "exactly one framing or none");
    must(framing->chunked == (towards.body.how == kind::chunked), "chunked where it was said");
    if (towards.body.how == kind::length) must(framing->length == head.body.length, "the length stays the same");
    if (towards.body.how == kind::until_close) must(!framing->length, "no length where none is known");
    if (head.status == 204) must(!framing->length, "204 has no length (RFC 9110 8.6)");
    must_be_hop_free(*sent);
    must(sent->values("connection").size() == (towards.close ? 1U : 0U), "Connection is ours to say");
    for (const auto once : {"x-request-id", "x-ms-request-id", "azureml-model-deployment"})
        must(sent->values(once).size() == 1, "each field of ours once");
    must(sent->values("azureml-model-deployment").front() == "blue", "the deployment is ours to say");
    must(!sent->values("date").empty(), "a reply has a date");
}

void chunked_body(input bytes) {
    if (bytes.size() < 2) return;
    const std::size_t first = bytes[0] % 16 + 1U, then = bytes[1] % 16 + 1U;
    bytes = bytes.subspan(2);

    struct outcome {
        bool accepted = true, done = false;
        std::string payload{};
        std::size_t consumed = 0;
        bool operator==(const outcome&) const = default;
    };
    const auto decode = [](input all, std::size_t step, std::size_t next) {
        outcome made;
        body_decoder decoder(body_framing{kind::chunked, 0});
        while (made.consumed < all.size() && !decoder.done()) {
            const auto size = std::min(step, all.size() - made.consumed);
            const auto piece = std::make_unique<char[]>(size); // of its own, so that a byte too far is seen
            std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(made.consumed), size, piece.get());
            const auto taken = decoder.decode(piece.get(), size);
            if (!taken) {
                made.accepted = false;
                return made;
            }
            must(taken->consumed <= size && taken->payload <= taken->consumed, "no more comes out than went in");
            must(taken->consumed == size || decoder.done(), "everything is taken until the end");
            made.payload.append(piece.get(), taken->payload);
            made.consumed += taken->consumed;
            std::swap(step, next);
        }
        made.done = decoder.done();
        return made;
    };
    const auto whole = decode(bytes, bytes.size() + 1, 1);
    const auto pieces = decode(bytes, first, then);
    must(whole.accepted == pieces.accepted, "accepted whole, so accepted in pieces");
    if (!whole.accepted) return;
    must(whole == pieces, "the same body in any pieces");

    // A second reading of what was accepted: only sizes, CRLF and the last chunk, found with find().
    if (whole.done) {
        const std::string_view all(reinterpret_cast<const char*>(bytes.data()), whole.consumed);
        std::string payload;
        std::size_t at = 0;
        for (;;) {
            const auto line_end = all.find("\r\n", at);
            must(line_end != std::string_view::npos, "a chunk begins with a line");
            const auto line = all.substr(at, line_end - at);
            const auto digits = line.find_first_not_of("0123456789abcdefABCDEF");
            const auto size = std::strtoull(std::string(line.substr(0, digits)).c_str(), nullptr, 16);
            if (digits != std::string_view::npos) {
                const auto behind = line.find_first_not_of(" \t", digits);
                must(behind == std::string_view::npos || line[behind] == ';', "behind a size stands an extension");
            }
            at = line_end + 2;
            if (size == 0) break;
            must(size <= all.size() - at && all.substr(at + size, 2) == "\r\n", "a chunk is as long as it says");
            payload += all.substr(at, size);
            at += size + 2;
        }
        must(payload == whole.payload, "the payload is the chunks, one behind the other");
        must(all.substr(at) == "\r\n" || all.ends_with("\r\n\r\n"), "a body ends with an empty line");
    }

    // What was taken out can be framed again.
    const auto room = std::make_unique<char[]>(whole.payload.size() + 17);
    std::copy(whole.payload.begin(), whole.payload.end(), room.get() + 10);
    const auto framed = frame_chunk(room.get() + 10, whole.payload.size(), true);
    const auto again = decode({reinterpret_cast<const std::uint8_t*>(framed.data()), framed.size()}, 7, 3);
    must(again.done && again.consumed == framed.size() && again.payload == whole.payload,
         "framed again, the same body");
}

} // namespace scoregate::fuzz
