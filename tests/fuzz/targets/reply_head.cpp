#include "fuzz/heads.hpp"
#include "fuzz/properties.hpp"

#include <memory>
#include <string>

namespace scoregate::fuzz {

using namespace http;
using kind = body_framing::kind;

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

} // namespace scoregate::fuzz
