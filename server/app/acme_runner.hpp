// The process beside a running scoregate that runs the ACME client: a confined process starts no programs
// (docs/decisions/0018-acme-with-lego.md). It is this program anew, started before the filter, with no keys, no sockets
// but one to its parent, and its one order fixed on its command line: all that the parent can say is "now".
// Messages, both ways whole (SOCK_SEQPACKET):
//     parent -> runner   "order"
//     runner -> parent   "line TEXT" for each line of the client, then "issued SERIAL", "not_due SERIAL" or "failed
//     WHY"
// The end of the connection ends an order, and the runner.
#pragma once

#include "app/acme_order.hpp"
#include "base/descriptor.hpp"
#include "base/executor.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/system/result.hpp>

#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace scoregate::app {

using base::descriptor;

// The parent's side. Control thread.
class acme_runner {
public:
    // Starts the process, which is to be done as who orders are made as. The error is a sentence.
    static boost::system::result<std::unique_ptr<acme_runner>, std::string> start(base::executor where,
                                                                                  const config::acme& from);

    static constexpr auto gone_sentence = "the process that runs the ACME client has ended: restart scoregate, or hand "
                                          "over to a new process";

    acme_runner(base::executor where, descriptor to, pid_t process);

    // One at a time. What the client says goes to the log.
    base::task<order_result> order();

    // Whether it has ended, which it does not by itself. It is reaped then.
    bool gone();

private:
    boost::asio::posix::basic_stream_descriptor<base::executor> runner_;
    pid_t process_;
};

// The words of the runner's command line, and back.
std::vector<std::string> to_words(const config::acme&);
std::optional<config::acme> parse_words(const std::vector<std::string>&);

// Empty unless the command line is a runner's: then it has run, until its parent has gone.
std::optional<int> run_as_acme_runner(int argc, char** argv);

} // namespace scoregate::app
