#!/usr/bin/env escript
%%! +S 1:1
%% Records what OTP's supervisor does in each scenario of scenarios.txt; README.md describes the formats.
%%
%% The recorder is the parent of the supervisor and its only caller, and everybody reports to it: start functions and
%% the logger handler in the supervisor's own process, children before they end. So the supervisor's events reach it in
%% the order in which they happen. One scheduler makes the end of a killed process, which cannot report itself, just as exact.
-mode(compile).
-export([main/1, init/1, start/1, log/2]).

-define(QUIET, 80).

main([]) ->
    Dir = filename:dirname(escript:script_name()),
    register(recorder, self()),
    process_flag(trap_exit, true),
    ok = logger:set_primary_config(level, info),
    ok = logger:remove_handler(default),
    ok = logger:add_handler(recorder, ?MODULE, #{}),
    {ok, Text} = file:read_file(filename:join(Dir, "scenarios.txt")),
    Scenarios = scenarios(string:split(binary_to_list(Text), "\n", all)),
    Recorded = [record(Dir, Name, Lines) || {Name, recorded, Lines} <- Scenarios],
    io:format("~b scenarios recorded on OTP ~s~n", [length(Recorded), erlang:system_info(otp_release)]).

%%% Scenarios

scenarios(Lines) ->
    Words = [string:lexemes(Line, " ") || Line <- Lines],
    lists:reverse(lists:foldl(fun line/2, [], Words)).

line([], Acc) -> Acc;
line(["#" ++ _ | _], Acc) -> Acc;
line(["scenario", Name], Acc) -> [{Name, recorded, []} | Acc];
line(["scenario", Name, "by-hand"], Acc) -> [{Name, by_hand, []} | Acc];
line(Words, [{Name, How, Lines} | Acc]) -> [{Name, How, Lines ++ [Words]} | Acc].

record(Dir, Name, Lines) ->
    State = lists:foldl(fun setup/2, new(), Lines),
    Done = lists:foldl(fun command/2, State, [Words || ["do" | Words] <- Lines]),
    cleanup(Done),
    Trace = canonical(lists:reverse(maps:get(events, Done)), maps:get(simple, Done)),
    ok = file:write_file(filename:join(Dir, Name ++ ".trace"), [[Event, $\n] || Event <- Trace]).

new() ->
    #{flags => #{}, specs => [], new_flags => undefined, new_specs => [], simple => false, starts => #{}, stops => #{},
      pids => #{}, current => #{}, counts => #{}, gates => #{}, calls => [], sup => undefined, events => []}.

setup(["flags" | Opts], S) ->
    Flags = flags(Opts),
    S#{flags := Flags, simple := maps:get(strategy, Flags) =:= simple_one_for_one};
setup(["child", Name | Opts], S = #{specs := Specs, simple := Simple}) ->
    S#{specs := Specs ++ [spec(Name, Opts, Simple)]};
setup(["new", "flags" | Opts], S) ->
    S#{new_flags := flags(Opts)};
setup(["new", "child", Name | Opts], S = #{new_specs := Specs, simple := Simple}) ->
    S#{new_specs := Specs ++ [spec(Name, Opts, Simple)]};
setup(["starts", Name | Outcomes], S = #{starts := Starts}) ->
    S#{starts := Starts#{Name => Outcomes}};
setup(["stops", Name, How], S = #{stops := Stops}) ->
    S#{stops := Stops#{Name => How}};
setup(["do" | _], S) ->
    S.

flags([Strategy, Intensity, Period, Auto]) ->
    #{strategy => list_to_atom(Strategy), intensity => list_to_integer(Intensity),
      period => list_to_integer(Period), auto_shutdown => list_to_atom(Auto)}.

spec(Name, Opts, Simple) ->
    Args = case Simple of true -> []; false -> [Name] end,
    lists:foldl(fun opt/2, #{id => Name, start => {?MODULE, start, Args}, modules => []}, Opts).

opt("significant", Spec) -> Spec#{significant => true};
opt("supervisor", Spec) -> Spec#{type => supervisor};
opt("brutal_kill", Spec) -> Spec#{shutdown => brutal_kill};
opt("infinity", Spec) -> Spec#{shutdown => infinity};
opt(Opt, Spec) ->
    case string:to_integer(Opt) of
        {Time, []} -> Spec#{shutdown => Time};
        _ -> Spec#{restart => list_to_atom(Opt)}
    end.

%%% Commands

command(Words, S) ->
    S1 = event(["> ", lists:join(" ", Words)], S),
    do(Words, S1).

do(["wait", Time], S) ->
    wait(erlang:monotonic_time(millisecond) + list_to_integer(Time), S);
do(Words, S) ->
    settle(act(Words, S)).

act(["start"], S = #{flags := Flags, specs := Specs}) ->
    persistent_term:put(scenario, {ok, {Flags, Specs}}),
    %% What gen:start does, without waiting: the answer comes as a message like everything else.
    Sup = proc_lib:spawn_link(gen, init_it, [gen_server, self(), self(), supervisor, {self, ?MODULE, []}, []]),
    S#{sup := Sup};
act(["stop", Reason], S = #{sup := Sup}) ->
    exit(Sup, reason(Reason)),
    S;
act(["exit", Name, "kill"], S) ->
    exit(pid(Name, S), kill),
    S;
act(["exit", Name, Reason], S) ->
    pid(Name, S) ! {die, Reason},
    S;
act(["release", Name, Outcome], S = #{gates := Gates}) ->
    {From, Rest} = maps:take(Name, Gates),
    outcome(Outcome, Name, From, S#{gates := Rest});
act(["start_child", Name | _], S = #{simple := true}) ->
    call({start_child, [Name]}, S);
act(["start_child", Name | Opts], S) ->
    call({start_child, spec(Name, Opts, false)}, S);
act(["terminate_child", Name], S) ->
    call({terminate_child, target(Name, S)}, S);
act(["terminate_child", "id", Name], S) ->
    call({terminate_child, Name}, S);
act(["terminate_child", "pid", Name], S) ->
    call({terminate_child, pid(Name, S)}, S);
act(["terminate_child", "stranger", "alive"], S) ->
    call({terminate_child, self()}, S);
act(["terminate_child", "stranger", "dead"], S) ->
    {Pid, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, process, Pid, _} -> call({terminate_child, Pid}, S) end;
act(["restart_child", Name], S) ->
    call({restart_child, Name}, S);
act(["delete_child", Name], S) ->
    call({delete_child, Name}, S);
act(["get_childspec", Name], S) ->
    call({get_childspec, target(Name, S)}, S);
act([Request], S) when Request =:= "which_children"; Request =:= "count_children" ->
    call(list_to_atom(Request), S);
act(["code_change"], S = #{sup := Sup, new_flags := Flags, new_specs := Specs}) ->
    persistent_term:put(scenario, {ok, {Flags, Specs}}),
    ok = sys:suspend(Sup),
    Answer = case sys:change_code(Sup, ?MODULE, undefined, []) of
                 ok -> "ok";
                 {error, Error} -> "error " ++ refusal(Error)
             end,
    ok = sys:resume(Sup),
    event(["answer code_change ", Answer], S).

%% gen_server:call without waiting.
call(Request, S = #{sup := Sup, calls := Calls}) ->
    Ref = make_ref(),
    Sup ! {'$gen_call', {self(), Ref}, Request},
    Kind = case Request of {K, _} -> K; K -> K end,
    S#{calls := Calls ++ [{Ref, Kind}]}.

target(Name, S = #{simple := true}) -> pid(Name, S);
target(Name, _) -> Name.

pid(Name, #{current := Current}) -> maps:get(Name, Current).

cleanup(S = #{sup := Sup, current := Current}) ->
    catch exit(Sup, kill),
    [catch exit(Pid, kill) || Pid <- maps:values(Current)],
    settle(S).

%%% Events

settle(S) ->
    receive Message -> settle(message(Message, S))
    after ?QUIET -> S
    end.

wait(Until, S) ->
    receive Message -> wait(Until, message(Message, S))
    after max(0, Until - erlang:monotonic_time(millisecond)) -> S
    end.

message({ask, From, {starting, Name}}, S = #{starts := Starts}) ->
    case maps:get(Name, Starts, []) of
        [] -> outcome("ok", Name, From, S);
        [Outcome | Rest] -> outcome(Outcome, Name, From, S#{starts := Starts#{Name := Rest}})
    end;
message({ask, From, {running, Name, Pid}}, S = #{pids := Pids, current := Current, counts := Counts}) ->
    N = maps:get(Name, Counts, 0) + 1,
    monitor(process, Pid),
    reply(From, ok),
    event(["start ", Name, "#", integer_to_list(N)],
          S#{pids := Pids#{Pid => {Name, N}}, current := Current#{Name => Pid}, counts := Counts#{Name => N}});
message({ask, From, {told, Pid, Reason}}, S) ->
    reply(From, ok),
    event(["told ", name(Pid, S), " ", why(Reason)], S);
message({ask, From, {ended, Pid, Reason}}, S) ->
    reply(From, ok),
    event(["ended ", name(Pid, S), " ", why(Reason)], S);
message({ask, From, {report, Report}}, S) ->
    reply(From, ok),
    event(["report ", report(Report, S)], S);
message({'DOWN', _, process, Pid, killed}, S) ->
    event(["ended ", name(Pid, S), " killed"], S);
message({'DOWN', _, process, _, _}, S) ->
    S;
message({ack, Sup, {ok, Sup}}, S = #{sup := Sup}) ->
    event("supervisor ready", S);
message({ack, Sup, {error, {shutdown, {failed_to_start_child, Id, Reason}}}}, S = #{sup := Sup}) ->
    event(["supervisor failed_to_start_child ", Id, " ", why(Reason)], S#{sup := undefined});
message({ack, Sup, {error, Error}}, S = #{sup := Sup}) ->
    event(["supervisor refused ", refusal(Error)], S#{sup := undefined});
message({'EXIT', Sup, Reason}, S = #{sup := Sup, calls := Calls}) ->
    Ended = event(["supervisor ended ", why(Reason)], S#{sup := undefined, calls := []}),
    lists:foldl(fun({_, Kind}, Acc) -> event(["abandoned ", atom_to_list(Kind)], Acc) end, Ended, Calls);
message({'EXIT', _, _}, S) ->
    S;
message({Ref, Answer}, S = #{calls := Calls}) when is_reference(Ref) ->
    {value, {Ref, Kind}, Rest} = lists:keytake(Ref, 1, Calls),
    event(["answer ", atom_to_list(Kind), " ", answer(Answer, S)], S#{calls := Rest}).

outcome("ok", Name, From, S = #{stops := Stops}) ->
    reply(From, {ok, maps:get(Name, Stops, "shutdown")}),
    S;
outcome("fail", Name, From, S) ->
    reply(From, {error, refused}),
    event(["start ", Name, " failed"], S);
outcome("ignore", Name, From, S) ->
    reply(From, ignore),
    event(["start ", Name, " ignored"], S);
outcome("gate", Name, From, S = #{gates := Gates}) ->
    event(["start ", Name, " waits"], S#{gates := Gates#{Name => From}}).

event(Event, S = #{events := Events}) ->
    S#{events := [lists:flatten(Event) | Events]}.

%% All children of a simple_one_for_one supervisor end at once, in no order: put neighbours into one.
canonical(Events, false) -> Events;
canonical(Events, true) ->
    Kind = fun("told" ++ _) -> ends;
              ("ended" ++ _) -> ends;
              ("report shutdown_error" ++ _) -> reports;
              (_) -> other
           end,
    lists:append([case Kind(hd(Run)) of other -> Run; _ -> lists:sort(Run) end || Run <- runs(Kind, Events)]).

runs(_, []) -> [];
runs(Kind, [First | _] = Events) ->
    {Run, Rest} = lists:splitwith(fun(Event) -> Kind(Event) =:= Kind(First) end, Events),
    [Run | runs(Kind, Rest)].

%%% Words

name(Pid, #{pids := Pids}) when is_map_key(Pid, Pids) ->
    {Name, N} = maps:get(Pid, Pids),
    Name ++ "#" ++ integer_to_list(N);
name({restarting, Pid}, S) -> name(Pid, S);
name(Other, _) when is_atom(Other) -> atom_to_list(Other).

why({shutdown, with}) -> "with";
why(Reason) when is_atom(Reason) -> atom_to_list(Reason).

reason("with") -> {shutdown, with};
reason(Reason) -> list_to_atom(Reason).

answer(ok, _) -> "ok";
answer({ok, #{id := Id} = Spec}, _) ->
    io_lib:format("~s ~p ~p ~p ~p", [Id | [maps:get(K, Spec) || K <- [restart, shutdown, type, significant]]]);
answer({ok, Child}, S) -> name(Child, S);
answer({error, {already_started, Pid}}, S) -> ["error already_started ", name(Pid, S)];
answer({error, {refused, _}}, _) -> "error failed";
answer({error, refused}, _) -> "error failed";
answer({error, Error}, _) when is_atom(Error) -> ["error ", atom_to_list(Error)];
answer({error, Error}, _) -> ["error ", refusal(Error)];
answer([{specs, A}, {active, B}, {supervisors, C}, {workers, D}], _) ->
    io_lib:format("specs ~b active ~b supervisors ~b workers ~b", [A, B, C, D]);
answer([], _) -> "none";
answer(Children, S) ->
    Names = [[case Id of undefined -> ""; _ -> Id ++ "=" end, name(Pid, S), "/", atom_to_list(Type)]
             || {Id, Pid, Type, _} <- Children],
    lists:join(" ", case S of #{simple := true} -> lists:sort(Names); _ -> Names end).

%% sys:change_code wraps what the supervisor answered.
refusal({error, Error}) -> refusal(Error);
refusal({supervisor_data, Error}) -> refusal(Error);
refusal({start_spec, Error}) -> refusal(Error);
refusal({bad_start_spec, Given}) -> "bad_start_spec " ++ integer_to_list(length(Given));
refusal({invalid_period, _}) -> "invalid_period";
refusal({duplicate_child_name, Id}) -> "duplicate_child_name " ++ Id;
refusal({bad_combination, [{auto_shutdown, never}, {significant, true}]}) -> "significant_with_never";
refusal({bad_combination, [{restart, permanent}, {significant, true}]}) -> "significant_permanent";
%% What code_change of a simple_one_for_one supervisor says of a list that is not of one specification.
refusal({ok, {Ids, _}}) -> "bad_start_spec " ++ integer_to_list(length(Ids)).

report({progress, Child}, S) -> ["progress ", offender(Child, S)];
report({start_error, _, Child}, S) -> ["start_error ", offender_id(Child, S)];
report({shutdown, _, Child}, S) -> ["shutdown ", offender_id(Child, S)];
report({shutdown_error, Reason, Child}, S) ->
    case lists:keyfind(nb_children, 1, Child) of
        {_, Count} -> ["shutdown_error ", integer_to_list(Count), " ", why(Reason)];
        false -> ["shutdown_error ", offender(Child, S), " ", why(Reason)]
    end;
report({Context, Reason, Child}, S) ->
    [atom_to_list(Context), " ", offender(Child, S), " ", why(Reason)].

offender(Child, S) -> name(proplists:get_value(pid, Child), S).

%% A child that does not run is known by its id, a dynamic one by the process that it was.
offender_id(Child, S = #{simple := true}) -> offender(Child, S);
offender_id(Child, _) -> proplists:get_value(id, Child).

%%% In the supervisor's process

init([]) -> persistent_term:get(scenario).

start(Name) ->
    case ask({starting, Name}) of
        {ok, Stops} ->
            Self = self(),
            Pid = spawn_link(fun() -> process_flag(trap_exit, true), Self ! {self(), traps}, child(Stops) end),
            receive {Pid, traps} -> ok end,
            ask({running, Name, Pid}),
            {ok, Pid};
        Other ->
            Other
    end.

log(#{msg := {report, #{label := {supervisor, progress}, report := [_, {started, Child}]}}}, _) ->
    ask({report, {progress, Child}});
log(#{msg := {report, #{label := {supervisor, Context}, report := Report}}}, _) ->
    {_, Reason} = lists:keyfind(reason, 1, Report),
    {_, Child} = lists:keyfind(offender, 1, Report),
    ask({report, {Context, Reason, Child}});
log(_, _) ->
    ok.

%%% In the child's process

child(Stops) ->
    receive
        {die, Reason} ->
            finish(reason(Reason));
        {'EXIT', _, Reason} ->
            ask({told, self(), Reason}),
            case Stops of
                "hang" -> child(Stops);
                _ -> finish(reason(Stops))
            end
    end.

finish(Reason) ->
    ask({ended, self(), Reason}),
    exit(Reason).

ask(Question) ->
    Ref = make_ref(),
    recorder ! {ask, {self(), Ref}, Question},
    receive {Ref, Answer} -> Answer end.

reply({Pid, Ref}, Answer) -> Pid ! {Ref, Answer}.
