// (d) A channel's life: consumer inside against destroy, recycle, the next channel in the slot (src/engine/channels.c, pair(inside), pair(retire)).
// Threads: 0 consumer with the first handle (enter, touch, leave; twice), 1 destroyer and next creator, 2 I/O thread, 3 a second destroyer of the first handle.
// `body` stands for ring, want, capacity: plain memory; touched by the consumer while inside, written by the next creator. A race or a closed successor is a failure.
//  V=0 the code PASS   V=1 mark by fetch_or (3a35889) FAIL   V=2 destroy does not look at inside (3a35889) FAIL (race)
//  V=6 the code, with the second destroyer PASS
//  V=3 enter acq_rel + acquire look FAIL   V=4 RETIRING by acq_rel, look acquire FAIL   V=5 leave relaxed FAIL (race)
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef BOUND
#define BOUND 3
#endif
enum { CLOSED=1, RETIRING=2, FREE=4, STATE=7, GEN=8, EPIPE_=-32, EBUSY_=-16 };
//@ src/engine/channels.c: sqcq__add_seq(&channel->waiter.inside, 1);
//@ src/engine/channels.c: uint64_t word = sqcq__load_seq(&channel->credit.word);
//@ src/engine/channels.c: sqcq__sub_acq_rel(&channel->waiter.inside, 1);
//@ src/engine/channels.c: if (sqcq__cas_acq_rel(&channel->credit.word, &word,
//@ src/engine/channels.c: } while (!sqcq__cas_acq_rel(&channel->credit.word, &word, next));
//@ src/engine/channels.c: } while (!sqcq__cas_seq(&channel->credit.word, &seen, seen | bits));
//@ src/engine/channels.c: if (!sqcq__cas_seq(&channel->credit.word, &seen, closed | SQCQ__CREDIT_RETIRING))
//@ src/engine/channels.c: if (sqcq__load_seq(&channel->waiter.inside) == 0) {
//@ src/engine/channels.c: change_state(channel, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_RETIRING, SQCQ__CREDIT_CLOSED);
//@ src/engine/channels.c: while (!sqcq__cas_release(&engine->control.retired, &top, index + 1));
//@ src/engine/act.c: uint32_t top = sqcq__swap_acquire(&engine->control.retired, 0);
struct T : test_suite<T, V==1?4:V==6?4:3> {
  atomic<int> word, inside, retired, over; rl::var<int> body;
  void before(){ word($)=1*GEN; inside($)=0; retired($)=0; over($)=0; body($)=1; }
  void change(int from,int to){ int w=word($).load(mo_relaxed); do RL_ASSERT((w&STATE)==from); while(!word($).compare_exchange_strong(w,(w&~STATE)|to,mo_acq_rel,mo_acquire)); }
  int destroy(int g){
#if V==1
    { int w=word($).load(mo_acquire); if(w/GEN!=g||(w&(FREE|RETIRING))) return EPIPE_; word($).fetch_or(CLOSED,mo_acq_rel); }
#else
    { int w=word($).load(mo_acquire); do if(w/GEN!=g||(w&(FREE|RETIRING))) return EPIPE_; while(!word($).compare_exchange_strong(w,w|CLOSED,mo_acq_rel,mo_acquire)); }
#endif
    int seen=g*GEN|CLOSED;
    if(!word($).compare_exchange_strong(seen,g*GEN|CLOSED|RETIRING,V==4?mo_acq_rel:mo_seq_cst,mo_acquire)) return seen/GEN!=g||(seen&RETIRING)?EPIPE_:EBUSY_;
#if V!=2
    if(inside($).load(V==4?mo_acquire:mo_seq_cst)!=0){ change(CLOSED|RETIRING,CLOSED); return EBUSY_; }
#endif
    retired($).store(1,mo_release); return 0; }
  void thread(unsigned i){
    if(i==0){ for(int k=0;k<2;k++){
        inside($).fetch_add(1,V==3?mo_acq_rel:mo_seq_cst);
        int w=word($).load(V==3?mo_acquire:mo_seq_cst);
        if(w/GEN==1 && !(w&(FREE|RETIRING))) body($)=body($)+1;
        inside($).fetch_sub(1,V==5?mo_relaxed:mo_acq_rel); } }
    else if(i==1){ linear_backoff b; int r; while((r=destroy(1))==EBUSY_) b.yield($);
      if(r==0 || V==1 || V==6){ linear_backoff c; for(;;){ int w=word($).load(mo_relaxed); if(!(w&FREE)){ if(w/GEN>1) break; c.yield($); continue; }
          if(word($).compare_exchange_strong(w,(w/GEN+1)*GEN|CLOSED,mo_acq_rel,mo_acquire)){ body($)=100; change(CLOSED,0); break; } c.yield($); } }
      over($).store(1,mo_release); }
    else if(i==2){ linear_backoff b; for(;;){ if(retired($).load(mo_relaxed) && retired($).exchange(0,mo_acquire)) change(CLOSED|RETIRING,CLOSED|FREE); if(over($).load(mo_acquire)) break; b.yield($); } }
    else { linear_backoff b; while(destroy(1)==EBUSY_) b.yield($); } }
  void after(){ RL_ASSERT(word($).load(mo_relaxed)==2*GEN); }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("channel V=%d BOUND=%d RAND=%d: %s iters=%u\n",V,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
