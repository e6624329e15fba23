%% The same work on Erlang/OTP. One `erl` per measurement:
%%
%%     erl -noshell +P 1048576 -pa DIR -run bench main WORKLOAD N MILLISECONDS
%%
%% runs WORKLOAD with N operations once to warm up and then until MILLISECONDS are used up, and prints one line:
%% operations, microseconds, sum of the last run, p50 and p99 in nanoseconds (0 where there is none), and resident
%% bytes (0 but for memory). `none` if there is no such workload here.
-module(bench).
%% A supervisor too, but two behaviours in one module would make erlc warn.
-behaviour(gen_server).

-export([main/1, peer/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export([start_mortal/1]).

-define(CROWD, 64).
-define(RING, 1000).

main([Workload, Size, Milliseconds]) ->
    logger:set_primary_config(level, none),
    N = list_to_integer(Size),
    Limit = list_to_integer(Milliseconds) * 1000,
    case is_memory(Workload) of
        true ->
            {Bytes, Alive} = memory(Workload, N),
            io:format("~b 0 ~b 0 0 ~b~n", [N, Alive, Bytes]);
        false ->
            warms_up(Workload) andalso run(Workload, N),
            repeat(Workload, N, Limit, 0, 0, [], 1)
    end,
    halt(0).

%% Where setting up takes longer than the work, it has warmed everything up already.
warms_up("fanout") -> false;
warms_up("one_death" ++ _) -> false;
warms_up(_) -> true.

is_memory(Workload) -> lists:prefix("memory", Workload).

%% A run's set-up is outside its time, so runs are bounded too: they must not go on for ever.
repeat(_, _, Limit, Ops, Micros, {Sum, Latencies}, Runs) when Micros >= Limit; Runs > 10 ->
    {P50, P99} = percentiles(lists:sort(Latencies)),
    io:format("~b ~b ~b ~b ~b 0~n", [Ops, Micros, Sum, P50, P99]);
repeat(Workload, N, Limit, Ops, Micros, _, Runs) ->
    {Took, Sum, Latencies} = run(Workload, N),
    repeat(Workload, N, Limit, Ops + N, Micros + max(Took, 1), {Sum, Latencies}, Runs + 1).

percentiles([]) -> {0, 0};
percentiles(Sorted) ->
    Count = length(Sorted),
    {lists:nth(max(1, Count div 2), Sorted), lists:nth(max(1, Count * 99 div 100), Sorted)}.

%% Each measured process is started by a process of its own, so that nothing is left in the main one's mailbox.
run(Workload, N) ->
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() -> Self ! {self(), workload(Workload, N)} end),
    receive
        {Pid, Result} -> demonitor(Ref, [flush]), Result;
        {'DOWN', Ref, process, Pid, Reason} -> io:format(standard_error, "~p~n", [Reason]), halt(1)
    end.

timed(Work) ->
    Start = erlang:monotonic_time(microsecond),
    Sum = Work(),
    {erlang:monotonic_time(microsecond) - Start, Sum, []}.

workload("cast_1_1", N) ->
    {ok, Server} = gen_server:start(?MODULE, counter, []),
    Result = timed(fun() ->
        cast_all(Server, 0, N),
        gen_server:call(Server, next, infinity) - 1
    end),
    gen_server:stop(Server),
    Result;
workload("call_1_1", N) -> call_alone(N, 5000);
workload("call_1_1_no_timeout", N) -> call_alone(N, infinity);
workload("call_64_1", N) ->
    {ok, Server} = gen_server:start(?MODULE, counter, []),
    Result = timed(fun() ->
        lists:max(together([fun() -> call_often(Server, 5000, N div ?CROWD) end || _ <- crowd()]))
    end),
    gen_server:stop(Server),
    Result;
workload("call_64_64", N) ->
    Servers = [element(2, gen_server:start(?MODULE, counter, [])) || _ <- crowd()],
    Result = timed(fun() ->
        lists:sum(together([fun() -> call_often(Server, 5000, N div ?CROWD) end || Server <- Servers]))
    end),
    [gen_server:stop(Server) || Server <- Servers],
    Result;
workload("ring", N) ->
    Self = self(),
    First = spawn_link(fun() -> receive {next, Next} -> ring(Next, N, Self) end end),
    Last = lists:foldl(fun(_, Next) -> spawn_link(fun() -> ring(Next, N, Self) end) end, First, lists:seq(2, ?RING)),
    First ! {next, Last},
    timed(fun() ->
        First ! 1,
        receive {arrived, Hops} -> Hops end
    end);
workload("spawn_sequential", N) ->
    timed(fun() -> bring_up_one_by_one(N, 0) end);
workload("spawn_concurrent", N) ->
    timed(fun() -> lists:sum(together([fun() -> bring_up(N div ?CROWD) end || _ <- crowd()])) end);
workload("restart_err", N) -> restart(N, fail);
workload("restart_panic", N) -> restart(N, panic);
workload("fanout", N) ->
    Pids = [element(1, spawn_monitor(fun() -> receive stop -> ok end end)) || _ <- lists:seq(1, N)],
    timed(fun() ->
        spawn(fun() -> [Pid ! stop || Pid <- Pids] end),
        hear(N)
    end);
workload("one_death", N) ->
    Pid = spawn(fun() -> receive stop -> ok end end),
    [monitor(process, Pid) || _ <- lists:seq(1, N)],
    timed(fun() ->
        Pid ! stop,
        hear(N)
    end);
workload("one_death_spread", N) ->
    Self = self(),
    Pid = spawn(fun() -> receive stop -> ok end end),
    Left = atomics:new(1, []),
    atomics:put(Left, 1, N),
    Watchers = [spawn_link(fun() -> watch(Pid, Left, Self) end) || _ <- lists:seq(1, N)],
    [receive {watching, Watcher} -> ok end || Watcher <- Watchers],
    timed(fun() ->
        Pid ! stop,
        receive all_heard -> N - atomics:get(Left, 1) end
    end);
workload("remote_call", N) ->
    {Server, Before} = remote(),
    {Took, Total, []} = timed(fun() -> call_often(Server, 5000, N) end),
    {Took, Total - Before, [call_timed(Server, next, 5000) || _ <- lists:seq(1, N)]};
workload("remote_call_1k", N) ->
    {Server, _} = remote(),
    Binary = binary:copy(<<"x">>, 1024),
    {Took, Same, []} = timed(fun() -> echo_often(Server, Binary, N, 0) end),
    {Took, Same, [call_timed(Server, {echo, Binary}, 5000) || _ <- lists:seq(1, N)]};
workload("remote_call_64", N) ->
    {Server, Before} = remote(),
    {Took, Total, []} = timed(fun() ->
        lists:max(together([fun() -> call_often(Server, 5000, N div ?CROWD) end || _ <- crowd()]))
    end),
    {Took, Total - Before, []};
workload("remote_cast", N) ->
    {Server, Before} = remote(),
    {Took, Total, []} = timed(fun() ->
        cast_all(Server, 0, N),
        gen_server:call(Server, next, infinity) - 1
    end),
    {Took, Total - Before, []};
workload(_, _) ->
    io:format("none~n"),
    halt(0).

crowd() -> lists:seq(1, ?CROWD).

cast_all(_, N, N) -> ok;
cast_all(Server, I, N) ->
    gen_server:cast(Server, {add, I}),
    cast_all(Server, I + 1, N).

call_alone(N, Timeout) ->
    {ok, Server} = gen_server:start(?MODULE, counter, []),
    {Took, Sum, []} = timed(fun() -> call_often(Server, Timeout, N) end),
    Latencies = [call_timed(Server, next, Timeout) || _ <- lists:seq(1, N div 10)],
    gen_server:stop(Server),
    {Took, Sum, Latencies}.

%% The server on the node that -peer names, and its total.
remote() ->
    {ok, [[Name]]} = init:get_argument(peer),
    Node = list_to_atom(Name),
    pong = net_adm:ping(Node),
    Server = gen_server:call({counter, Node}, who),
    {Server, gen_server:call(Server, next)}.

%% That other node: says when it is up, and ends with its standard input.
peer() ->
    {ok, _} = gen_server:start({local, counter}, ?MODULE, counter, []),
    io:format("ready~n"),
    eof = io:get_line(""),
    halt(0).

%% How many of N answers were what was sent.
echo_often(_, _, 0, Same) -> Same;
echo_often(Server, Binary, N, Same) ->
    case gen_server:call(Server, {echo, Binary}) of
        Binary -> echo_often(Server, Binary, N - 1, Same + 1);
        _ -> echo_often(Server, Binary, N - 1, Same)
    end.

call_timed(Server, Request, Timeout) ->
    Start = erlang:monotonic_time(nanosecond),
    gen_server:call(Server, Request, Timeout),
    erlang:monotonic_time(nanosecond) - Start.

call_often(Server, Timeout, 1) -> gen_server:call(Server, next, Timeout);
call_often(Server, Timeout, N) ->
    gen_server:call(Server, next, Timeout),
    call_often(Server, Timeout, N - 1).

%% Runs each fun in a process of its own and gives what they give.
together(Funs) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Fun()} end) || Fun <- Funs],
    [receive {Pid, Result} -> Result end || Pid <- Pids].

ring(Next, N, Main) ->
    receive
        N -> Main ! {arrived, N};
        Hop -> Next ! Hop + 1
    end,
    ring(Next, N, Main).

bring_up_one_by_one(0, Ended) -> Ended;
bring_up_one_by_one(N, Ended) ->
    {ok, Pid} = gen_server:start_link(?MODULE, counter, []),
    ok = gen_server:stop(Pid),
    bring_up_one_by_one(N - 1, Ended + 1).

bring_up(N) ->
    Pids = [element(2, gen_server:start_link(?MODULE, counter, [])) || _ <- lists:seq(1, N)],
    length([ok = gen_server:stop(Pid) || Pid <- Pids]).

restart(N, How) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, self()}),
    First = receive {up, Pid} -> Pid end,
    Result = timed(fun() -> restart(N, How, First, 0) end),
    unlink(Supervisor),
    exit(Supervisor, kill),
    Result.

restart(N, _, _, N) -> N;
restart(N, How, Pid, Restarts) ->
    gen_server:cast(Pid, How),
    restart(N, How, receive {up, Next} -> Next end, Restarts + 1).

start_mortal(Main) -> gen_server:start_link(?MODULE, {mortal, Main}, []).

hear(N) -> hear(N, 0).
hear(N, N) -> N;
hear(N, Heard) -> receive {'DOWN', _, process, _, normal} -> hear(N, Heard + 1) end.

watch(Pid, Left, Main) ->
    Ref = monitor(process, Pid),
    Main ! {watching, self()},
    receive {'DOWN', Ref, process, Pid, _} -> ok end,
    case atomics:sub_get(Left, 1, 1) of
        0 -> Main ! all_heard;
        _ -> ok
    end.

memory(Workload, N) ->
    Start = case Workload of
        "memory_idle" -> fun() -> {ok, Pid} = gen_server:start(?MODULE, counter, []), Pid end;
        "memory_hibernated" -> fun() -> {ok, Pid} = gen_server:start(?MODULE, hibernating, []), Pid end
    end,
    Before = resident_bytes(),
    Pids = start_all(Start, N, []),
    Bytes = resident_bytes() - Before,
    {Bytes, length([Pid || Pid <- Pids, is_process_alive(Pid)])}.

start_all(_, 0, Pids) -> Pids;
start_all(Start, N, Pids) -> start_all(Start, N - 1, [Start() | Pids]).

resident_bytes() ->
    {ok, File} = file:open("/proc/self/status", [read, raw]),
    {ok, Status} = file:read(File, 65536),
    file:close(File),
    {match, [Kib]} = re:run(Status, "VmRSS:\\s*([0-9]+) kB", [{capture, all_but_first, list}]),
    list_to_integer(Kib) * 1024.

init(counter) -> {ok, 0};
init(hibernating) -> {ok, 0, hibernate};
init({mortal, Main}) ->
    Main ! {up, self()},
    {ok, Main};
init({supervisor, Main}) ->
    Child = #{id => mortal, start => {?MODULE, start_mortal, [Main]}},
    {ok, {#{strategy => one_for_one, intensity => 1000000000, period => 1}, [Child]}}.

handle_call(next, _From, Total) -> {reply, Total + 1, Total + 1};
handle_call({echo, Binary}, _From, Total) -> {reply, Binary, Total};
handle_call(who, _From, Total) -> {reply, self(), Total}.

handle_cast({add, Amount}, Total) -> {noreply, Total + Amount};
handle_cast(fail, Main) -> {stop, told_to_fail, Main};
handle_cast(panic, _) -> error(told_to_panic).

handle_info(_, State) -> {noreply, State}.
